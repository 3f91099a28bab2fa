#!/usr/bin/env bash
# Last step: deletes what these scripts created, and nothing else.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_resources.sh
source "$scripts_dir/lib_resources.sh"

usage() {
  cat <<'TEXT'
Usage: scripts/cleanup.sh [--yes] [--dry-run]

Lists what the scripts recorded as created by them (.usleep/created), asks, and deletes it: VMs and fleet, firewall
rules, repositories with their images, granted roles, service accounts. What was there before them is left alone, and so are
the enabled services. What is gone already is no error; what cannot be deleted now stays recorded for the next run.

  --yes        do not ask
  --dry-run    print the commands, run none
  -h, --help   this text
TEXT
}
yes=no
while (($#)); do
  case $1 in
    --yes) yes=yes ;;
    *) common_flag "$1" ;;
  esac
  shift
done
need_gcloud

# Values of the record are checked again before they reach a command line: the file may have been edited.
recorded=() # the lines of the record, last created first
if [[ -f $created_file ]]; then
  word='[A-Za-z0-9@%+=:._/-]+'
  while IFS= read -r line; do
    check "a line of $created_file" "$line" "^[a-z-]+ [a-z][a-z0-9-]{4,28}[a-z0-9] $word $word\$" 'KIND PROJECT SCOPE NAME'
    recorded=("$line" "${recorded[@]}")
  done <"$created_file"
fi
if ((${#recorded[@]} == 0)); then
  say 'Nothing is recorded as created by these scripts: nothing to delete.'
  exit 0
fi
queue=()
for kind in "${kinds_in_order_of_deletion[@]}"; do
  for line in "${recorded[@]}"; do
    if [[ ${line%% *} == "$kind" ]]; then queue+=("$line"); fi
  done
done
if ((${#queue[@]} != ${#recorded[@]})); then fail "a line of $created_file names no known kind" "look at it"; fi

say "Created by these scripts, to be deleted in this order:"
for line in "${queue[@]}"; do say "  $line"; done
if [[ $yes == no && $dry_run == no ]]; then
  printf 'Delete these %s? [y/N] ' "${#queue[@]}" >&2
  answer=
  read -r answer || true
  if [[ $answer != [yY] && $answer != [yY][eE][sS] ]]; then fail 'nothing was deleted' 'answer y, or use --yes'; fi
fi

left=0
for line in "${queue[@]}"; do
  read -r -a resource <<<"$line"
  step "delete $line"
  if ! delete_recorded "${resource[@]}"; then
    say '  not deleted: it stays recorded'
    left=$((left + 1))
  fi
done
if ((left > 0)); then
  fail "$left of ${#queue[@]} could not be deleted" 'put right what is said above and run the same command again'
fi
if [[ $dry_run == no ]]; then
  # What was built and where it ran means nothing any more.
  rm -f "$created_file" "$state_dir"/{usleep,uwear}.digest "$state_dir"/usleep.{ip,ranges}
  say ''
  say 'All of it is gone. The enabled services stay enabled.'
fi
