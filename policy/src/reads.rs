//! What each rule of a policy reads, found in its syntax tree, so that it works for any policy.
//!
//! A read is the longest literal path from `input` or `data`: `input.submods.container.image_digest`, also
//! when written with brackets, through an import or by `object.get`. Rules and functions that a rule uses
//! are followed, except those that are shown on their own. It serves explanations and the check that the
//! baseline has what the policy reads; no verdict rests on it.
//!
//! regorus can also give the tree as JSON, but that text grows with the square of an expression's depth (a
//! policy of 10 KB took 1.2 GB), so the types behind it are used; a change of theirs does not compile.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, Module, Query, Rule, RuleAssign, RuleHead};

use crate::PACKAGE;
use crate::comparisons::{Comparison, comparison};

/// Most rules in a chain where each uses the next. regorus follows them recursively; 64 overflow a stack of
/// 2 MiB in a debug build.
const MAX_CHAIN: usize = 16;

/// Longest path that a variable is known by: a chain of variables, each a step inside the one before, would take
/// memory by the square of their number. The deepest claim has 5 steps.
const MAX_NAMED_STEPS: usize = 32;

/// Steps from `input` or `data`, that word first.
pub(crate) type Path = Vec<String>;

/// A path that a rule reads, and the first line on which it does.
pub(crate) struct ReadAt {
    pub(crate) path: Path,
    pub(crate) line: u32,
}

/// All that a policy's text says about claims and data.
pub(crate) struct Surface {
    /// By rule or function, each on its own.
    pub(crate) rules: Vec<RuleSurface>,
    /// What `allow` reads, by itself or through the rules and functions that it uses.
    pub(crate) of_allow: Vec<Path>,
}

/// The same of one rule or function.
pub(crate) struct RuleSurface {
    pub(crate) reads: Vec<ReadAt>,
    pub(crate) comparisons: Vec<Comparison>,
}

/// The rules of one module by name, ready to be asked.
pub(crate) struct Syntax<'a> {
    /// Names in the order of the text.
    names: Vec<&'a str>,
    rules: BTreeMap<&'a str, Vec<&'a Rule>>,
    aliases: BTreeMap<&'a str, Path>,
}

impl<'a> Syntax<'a> {
    pub(crate) fn of(module: &'a Module) -> Self {
        let mut names = Vec::new();
        let mut rules = BTreeMap::<_, Vec<_>>::new();
        for rule in &module.policy {
            let Some(name) = first_name(head(rule)) else {
                continue;
            };
            let definitions = rules.entry(name).or_default();
            if definitions.is_empty() {
                names.push(name);
            }
            definitions.push(&**rule);
        }
        let aliases = module
            .imports
            .iter()
            .filter_map(|import| {
                let path = plain_path(&import.refr, &BTreeMap::new())?;
                let name = match &import.r#as {
                    Some(span) => span.text(),
                    None => last_name(&import.refr)?,
                };
                Some((name, path))
            })
            .collect();
        Self { names, rules, aliases }
    }

    /// Names of the rules to show, in the order of the text: complete rules that are boolean as written.
    pub(crate) fn boolean_rules(&self) -> Vec<&'a str> {
        let boolean = |name: &&str| self.rules.get(name).is_some_and(|all| is_boolean(all));
        self.names.iter().copied().filter(boolean).collect()
    }

    /// Whether there is a complete rule of that name, boolean as written or not.
    pub(crate) fn is_complete(&self, name: &str) -> bool {
        self.rules
            .get(name)
            .is_some_and(|definitions| definitions.iter().all(|rule| value_of(rule).is_some()))
    }

    /// What one rule reads, in the order of the text, helpers followed, rules in `shown` not.
    pub(crate) fn reads(&self, name: &str, shown: &[&str]) -> Vec<Path> {
        self.walk(name, shown).found.into_iter().map(|read| read.path).collect()
    }

    /// What the whole text reads and compares, used or not.
    pub(crate) fn surface(&self) -> Surface {
        let of_rule = |name: &&str| {
            let walk = self.walk(name, &self.names);
            RuleSurface { reads: walk.found, comparisons: walk.comparisons }
        };
        Surface { rules: self.names.iter().map(of_rule).collect(), of_allow: self.reads("allow", &[]) }
    }

    /// Keys of `data` that any rule or function of the text reads, used or not.
    pub(crate) fn data_keys(&self) -> BTreeSet<String> {
        self.names
            .iter()
            .flat_map(|name| self.reads(name, &self.names))
            .filter(|path| path.first().is_some_and(|root| root == "data"))
            .filter_map(|path| path.into_iter().nth(1))
            .collect()
    }

    /// Rules that use each other in a circle, one such circle in order, or a chain of more than
    /// [`MAX_CHAIN`] rules that use each other. Rego forbids circles, and regorus would follow either until
    /// its stack is used up.
    pub(crate) fn endless_chain(&self) -> Option<Vec<&'a str>> {
        let mut uses: BTreeMap<&str, BTreeSet<&str>> =
            self.names.iter().map(|name| (*name, self.walk(name, &self.names).used)).collect();
        // Rules that use none of the rest are no part of a circle; without them others become such.
        for _ in 0..MAX_CHAIN {
            let left: BTreeSet<&str> = uses.keys().copied().collect();
            uses.retain(|_, used| !used.is_disjoint(&left));
            if uses.len() == left.len() {
                break;
            }
        }
        // In a circle, every rule that is left uses one that is left: following them comes back to where it was.
        let mut path: Vec<&str> = Vec::new();
        let mut name = *uses.keys().next()?;
        while !path.contains(&name) {
            path.push(name);
            match uses.get(name)?.iter().find(|used| uses.contains_key(*used)) {
                Some(used) => name = used,
                None => return Some(path),
            }
        }
        path.drain(..path.iter().position(|step| *step == name)?);
        path.push(name);
        Some(path)
    }

    fn walk(&self, name: &str, shown: &[&str]) -> Walk<'a, '_> {
        let mut walk = Walk {
            syntax: self,
            // What it uses itself is followed, also if it uses itself.
            shown: self
                .names
                .iter()
                .copied()
                .filter(|other| *other != name && shown.contains(other))
                .collect(),
            entered: BTreeSet::new(),
            waiting: Vec::new(),
            found: Vec::new(),
            comparisons: Vec::new(),
            names: BTreeMap::new(),
            line: 0,
            used: BTreeSet::new(),
        };
        walk.enter(name);
        while let Some(rule) = walk.waiting.pop() {
            walk.definition(rule);
        }
        walk
    }
}

/// One walk over a rule and what it uses. Expressions recurse; the limits on a policy's text bound how deep.
struct Walk<'a, 's> {
    syntax: &'s Syntax<'a>,
    shown: BTreeSet<&'a str>,
    entered: BTreeSet<&'a str>,
    waiting: Vec<&'a Rule>,
    found: Vec<ReadAt>,
    comparisons: Vec<Comparison>,
    /// Imported names, and those that the definition at hand gives to a claim or to the elements of one.
    names: BTreeMap<&'a str, Path>,
    /// The line of the expression at hand.
    line: u32,
    /// Rules that were met, followed or not.
    used: BTreeSet<&'a str>,
}

impl<'a> Walk<'a, '_> {
    /// Notes that a rule is used, and follows it unless it is shown on its own.
    fn rule(&mut self, name: &str) {
        if let Some((&name, _)) = self.syntax.rules.get_key_value(name) {
            self.used.insert(name);
            if !self.shown.contains(name) {
                self.enter(name);
            }
        }
    }

    fn enter(&mut self, name: &str) {
        if let Some((&name, definitions)) = self.syntax.rules.get_key_value(name)
            && self.entered.insert(name)
        {
            self.waiting.extend(definitions.iter().rev());
        }
    }

    fn definition(&mut self, rule: &'a Rule) {
        self.names = self.syntax.aliases.clone();
        match rule {
            Rule::Default { value, .. } => self.expression(value),
            Rule::Spec { head, bodies, .. } => {
                match head {
                    RuleHead::Compr { assign, .. } => self.assignment(assign.as_ref()),
                    RuleHead::Set { key, .. } => key.iter().for_each(|key| self.expression(key)),
                    RuleHead::Func { args, assign, .. } => {
                        args.iter().for_each(|argument| self.expression(argument));
                        self.assignment(assign.as_ref());
                    }
                }
                for body in bodies {
                    self.assignment(body.assign.as_ref());
                    self.query(&body.query);
                }
            }
        }
    }

    fn assignment(&mut self, assign: Option<&'a RuleAssign>) {
        if let Some(assign) = assign {
            self.expression(&assign.value);
        }
    }

    fn query(&mut self, query: &'a Query) {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    self.bind(value, collection);
                    key.iter().for_each(|key| self.expression(key));
                    self.expression(value);
                    self.expression(collection);
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expression(expr),
                Literal::Every { domain, query, .. } => {
                    self.expression(domain);
                    self.query(query);
                }
            }
            for modifier in &statement.with_mods {
                self.expression(&modifier.refr);
                self.expression(&modifier.r#as);
            }
        }
    }

    fn expression(&mut self, expression: &'a Expr) {
        self.line = expression.span().line;
        match expression {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                if let Some(path) = self.reference(expression) {
                    self.read(path);
                }
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().for_each(|item| self.expression(item));
            }
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.expression(key);
                    self.expression(value);
                }
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.expression(term);
                self.query(query);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.expression(key);
                self.expression(value);
                self.query(query);
            }
            Expr::Call { fcn, params, .. } => self.call(fcn, params),
            Expr::UnaryExpr { expr, .. } => self.expression(expr),
            Expr::BoolExpr { op: BoolOp::Eq | BoolOp::Ne, lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                let (one, other) = (self.path(lhs), self.path(rhs));
                self.comparisons.extend(comparison((one, lhs), (other, rhs), self.line));
                match expression {
                    Expr::AssignExpr { op: AssignOp::ColEq, .. } => self.bind(lhs, rhs),
                    _ => self.name(lhs, rhs),
                }
                self.expression(lhs);
                self.expression(rhs);
            }
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. } => {
                self.expression(lhs);
                self.expression(rhs);
            }
            Expr::Membership { key, value, collection, .. } => {
                let (one, other) = (self.path(value), self.path(collection));
                self.comparisons.extend(comparison((one, value), (other, collection), self.line));
                key.iter().for_each(|key| self.expression(key));
                self.expression(value);
                self.expression(collection);
            }
        }
    }

    /// `object.get(object, key or [keys], default)` reads a path like a reference does.
    fn call(&mut self, function: &'a Expr, arguments: &'a [regorus::unstable::Ref<Expr>]) {
        if let [object, key, default] = arguments
            && is_object_get(function)
            && let Some(keys) = literal_keys(key)
            && let Some(mut path) = self.reference(object)
        {
            path.extend(keys);
            self.read(path);
            self.expression(default);
            return;
        }
        self.expression(function);
        arguments.iter().for_each(|argument| self.expression(argument));
    }

    /// The path that a reference stands for, or `None` after following it to a rule or a variable.
    fn reference(&mut self, mut expression: &'a Expr) -> Option<Path> {
        let mut steps = Vec::new();
        let root = loop {
            match expression {
                Expr::RefDot { refr, field, .. } => {
                    steps.push(text(&field.1));
                    expression = refr;
                }
                Expr::RefBrack { refr, index, .. } => {
                    let step = literal_text(index);
                    if step.is_none() {
                        self.expression(index);
                    }
                    steps.push(step);
                    expression = refr;
                }
                Expr::Var { value, .. } => break text(value)?,
                other => {
                    self.expression(other);
                    return None;
                }
            }
        };
        let literal = steps.into_iter().rev().map_while(|step| step.map(str::to_owned));
        let mut path = match (root, self.syntax.aliases.get(root)) {
            ("input" | "data", _) => vec![root.to_owned()],
            (_, Some(path)) => path.clone(),
            (name, None) => match self.names.get(name) {
                Some(path) if !self.syntax.rules.contains_key(name) => path.clone(),
                _ => {
                    self.rule(name);
                    return None;
                }
            },
        };
        path.extend(literal);
        match path.as_slice() {
            [data, package, rule, ..] if data == "data" && package == PACKAGE => {
                let rule = rule.clone();
                self.rule(&rule);
                None
            }
            // Which rule is known only when it runs: any.
            [data, package] if data == "data" && package == PACKAGE => {
                for name in &self.syntax.names {
                    self.rule(name);
                }
                None
            }
            _ => Some(path),
        }
    }

    /// The path of a reference whose steps are all literal, also by `object.get`.
    fn path(&self, expression: &Expr) -> Option<Path> {
        if let Expr::Call { fcn, params, .. } = expression {
            let [object, key, _] = params.as_slice() else { return None };
            let mut path = is_object_get(fcn).then(|| plain_path(object, &self.names))??;
            path.extend(literal_keys(key)?);
            return Some(path);
        }
        plain_path(expression, &self.names)
    }

    /// Remembers a variable that stands for a claim or for the elements of one, unless it stands for another.
    fn name(&mut self, variable: &'a Expr, stands_for: &Expr) {
        if let Some(name) = variable_name(variable)
            && let Some(path) = self.short_path(stands_for)
        {
            self.names.entry(name).or_insert(path);
        }
    }

    /// The same where the variable is declared: what it stood for before, it stands for no more.
    fn bind(&mut self, variable: &'a Expr, stands_for: &Expr) {
        if let Some(name) = variable_name(variable) {
            match self.short_path(stands_for) {
                Some(path) => self.names.insert(name, path),
                None => self.names.remove(name),
            };
        }
    }

    fn short_path(&self, expression: &Expr) -> Option<Path> {
        self.path(expression).filter(|path| path.len() <= MAX_NAMED_STEPS)
    }

    fn read(&mut self, path: Path) {
        if self.found.iter().all(|read| read.path != path) {
            self.found.push(ReadAt { path, line: self.line });
        }
    }
}

fn variable_name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Var { value, .. } => text(value),
        _ => None,
    }
}

fn head(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// The name that a reference begins with.
fn first_name(mut expression: &Expr) -> Option<&str> {
    loop {
        match expression {
            Expr::Var { value, .. } => return text(value),
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => expression = refr,
            _ => return None,
        }
    }
}

fn last_name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Var { value, .. } => text(value),
        Expr::RefDot { field, .. } => text(&field.1),
        Expr::RefBrack { index, .. } => literal_text(index),
        _ => None,
    }
}

/// A reference of literal steps from `input`, `data` or another name for a path.
fn plain_path(mut expression: &Expr, aliases: &BTreeMap<&str, Path>) -> Option<Path> {
    let mut steps = Vec::new();
    loop {
        match expression {
            Expr::Var { value, .. } => {
                let mut path = match text(value)? {
                    root @ ("input" | "data") => vec![root.to_owned()],
                    name => aliases.get(name)?.clone(),
                };
                path.extend(steps.into_iter().rev());
                return Some(path);
            }
            Expr::RefDot { refr, field, .. } => {
                steps.push(text(&field.1)?.to_owned());
                expression = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                steps.push(literal_text(index)?.to_owned());
                expression = refr;
            }
            _ => return None,
        }
    }
}

fn is_object_get(function: &Expr) -> bool {
    matches!(function, Expr::RefDot { refr, field, .. }
        if text(&field.1) == Some("get") && matches!(&**refr, Expr::Var { value, .. } if text(value) == Some("object")))
}

fn literal_keys(key: &Expr) -> Option<Vec<String>> {
    match key {
        Expr::Array { items, .. } => items.iter().map(|item| literal_text(item).map(str::to_owned)).collect(),
        _ => literal_text(key).map(|key| vec![key.to_owned()]),
    }
}

fn literal_text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::String { value, .. } | Expr::RawString { value, .. } => text(value),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The values that one definition of a complete rule may take, `None` standing for the implied `true`; or
/// `None` if it defines a function, a set or an object.
fn value_of(rule: &Rule) -> Option<Vec<Option<&Expr>>> {
    if !matches!(head(rule), Expr::Var { .. }) {
        return None;
    }
    match rule {
        Rule::Default { args, value, .. } => args.is_empty().then(|| vec![Some(&**value)]),
        Rule::Spec { head: RuleHead::Compr { assign, .. }, bodies, .. } => {
            let mut values = vec![assign.as_ref().map(|assign| &*assign.value)];
            let of_bodies = bodies.iter().filter_map(|body| body.assign.as_ref());
            values.extend(of_bodies.map(|assign| Some(&*assign.value)));
            Some(values)
        }
        Rule::Spec { .. } => None,
    }
}

/// Boolean as written: a boolean default, or nothing but truths and comparisons for values.
fn is_boolean(definitions: &[&Rule]) -> bool {
    let Some(values) = definitions.iter().map(|rule| value_of(rule)).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let default = definitions
        .iter()
        .any(|rule| matches!(rule, Rule::Default { value, .. } if matches!(&**value, Expr::Bool { .. })));
    let plain = |value: &Option<&Expr>| {
        matches!(value, None | Some(Expr::Bool { .. } | Expr::BoolExpr { .. } | Expr::Membership { .. }))
    };
    default || values.iter().flatten().all(plain)
}
