//! A part of the bench as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A running process that talks line by line, killed on drop.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: Box<dyn BufRead + Send>,
}

impl Process {
    /// Starts this very executable as `role` with `arguments`.
    pub fn start(role: &str, arguments: &[String]) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()).arg(role).args(arguments))
    }

    /// Starts a command.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: Box::new(BufReader::new(output)) }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the process ended: {:?}", self.child.wait());
        line.trim_end().to_owned()
    }

    /// Reads away whatever it prints from now on: who prints into a full pipe stands still.
    pub fn drain(&mut self) {
        let unread = std::mem::replace(&mut self.output, Box::new(std::io::empty()));
        std::thread::spawn(move || std::io::copy(&mut { unread }, &mut std::io::sink()));
    }

    /// Sends it a line and waits for the one that it answers.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.line()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that it has used so far, user and system, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        processor_seconds(&self.id().to_string())
    }

    /// Its resident memory that is no file, in bytes (proc_pid_status(5): `RssAnon`).
    pub fn anonymous_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kibibytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(&self.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process, or of `self`, in seconds (proc_pid_stat(5): fields 14 and 15, in clock ticks).
pub fn processor_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field, the name, may hold blanks; it ends with the last parenthesis.
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 =
        after_name.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// How many connections over IPv4 the process that listens on this port has open (proc_net(5): state 01 is open, 08 open on
/// this end alone).
pub fn connections(port: u16) -> usize {
    let port = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| matches!(row.as_slice(), [_, local, _, "01" | "08", ..] if local.ends_with(&port)))
        .count()
}

/// Resident memory of a process, or of `self`, in bytes (proc_pid_statm(5): the second field, in pages).
pub fn resident_bytes(process: &str) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Time that the threads of a process, or of `self`, have run, in seconds. Finer than [`processor_seconds`], and without
/// threads that have ended (/proc/PID/task/*/schedstat: the first field, in nanoseconds).
pub fn run_seconds(process: &str) -> f64 {
    let run = |task: std::io::Result<fs::DirEntry>| {
        let times = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        times.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    fs::read_dir(format!("/proc/{process}/task")).unwrap().map(run).sum::<u64>() as f64 / 1e9
}

/// Lets this process, and those that it starts, open as many files as the system allows.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
