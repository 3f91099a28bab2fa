//! Functions of regorus that a policy may not call, found in its syntax tree wherever they stand.
//!
//! The limits of an evaluation count instructions, and a call is one. So a function that takes memory by a
//! number that it is given, or panics, must not be reached. The walk goes through every expression of the
//! text, used or not, and knows no rule: a function of the owner's own must not have such a name either.

use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleAssign, RuleHead};

/// What regorus 0.14.1 does not bound, of the functions that are compiled in.
const REFUSED: &[(&str, &str)] = &[
    // builtins/bitwise.rs: shifts by up to 2^32 - 1 bits.
    ("bits.lsh", "it takes memory by the number of bits; write the shifted number"),
    // value/mod.rs reads the object {"$serde_json::private::Number": "1e999999999"} as that number, and
    // number.rs writes it out: so do all three that read JSON.
    ("json.is_valid", "numbers in the text can take any memory"),
    ("json.unmarshal", "numbers in the text can take any memory"),
    ("to_number", "numbers in the text can take any memory; compare strings"),
    // builtins/numbers.rs: room for the whole range is taken first; a step of 0 divides by it.
    ("numbers.range", "it takes memory by the size of the range; compare with `<` and `<=`"),
    ("numbers.range_step", "it takes memory by the size of the range; compare with `<` and `<=`"),
    // builtins/strings.rs: widths and precisions of up to 2^32 - 1; panics on numerals that are no ASCII digits.
    ("sprintf", "it takes memory by the widths in its format; use concat"),
    // builtins/strings.rs: panics if what is counted is empty.
    ("strings.count", "it panics on an empty text; use count(split(…))"),
    // builtins/units.rs: exponents of up to 2^31 - 1.
    ("units.parse", "exponents in the text can take any memory"),
    ("units.parse_bytes", "exponents in the text can take any memory"),
];

/// A call that is refused: its place, from 1, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefusedCall {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) function: &'static str,
    pub(crate) why: &'static str,
}

/// The first call in the text that is refused.
pub(crate) fn refused_call(module: &Module) -> Option<RefusedCall> {
    let mut walk = Walk { found: Vec::new() };
    module.policy.iter().for_each(|rule| walk.rule(rule));
    walk.found.into_iter().min_by_key(|call| (call.line, call.column))
}

/// Expressions recurse; the limits on a policy's text bound how deep.
struct Walk {
    found: Vec<RefusedCall>,
}

impl Walk {
    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Default { refr, args, value, .. } => {
                self.expression(refr);
                self.expressions(args);
                self.expression(value);
            }
            Rule::Spec { head, bodies, .. } => {
                match head {
                    RuleHead::Compr { refr, assign, .. } => {
                        self.expression(refr);
                        self.assignment(assign.as_ref());
                    }
                    RuleHead::Set { refr, key, .. } => {
                        self.expression(refr);
                        self.expressions(key);
                    }
                    RuleHead::Func { refr, args, assign, .. } => {
                        self.expression(refr);
                        self.expressions(args);
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

    fn assignment(&mut self, assign: Option<&RuleAssign>) {
        if let Some(assign) = assign {
            self.expression(&assign.value);
        }
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    self.expressions(key);
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
                // `with count as sprintf` calls it under another name.
                self.function(&modifier.r#as);
            }
        }
    }

    fn expressions<'a>(&mut self, expressions: impl IntoIterator<Item = &'a Ref<Expr>>) {
        expressions.into_iter().for_each(|expression| self.expression(expression));
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::Var { .. } => {}
            Expr::RefDot { refr, .. } => self.expression(refr),
            Expr::RefBrack { refr, index, .. } => {
                self.expression(refr);
                self.expression(index);
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.expressions(items),
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
            Expr::Call { fcn, params, .. } => {
                self.function(fcn);
                self.expression(fcn);
                self.expressions(params);
            }
            Expr::UnaryExpr { expr, .. } => self.expression(expr),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                self.expression(lhs);
                self.expression(rhs);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.expressions(key);
                self.expression(value);
                self.expression(collection);
            }
        }
    }

    fn function(&mut self, function: &Expr) {
        let Some(name) = name(function) else { return };
        if let Some(&(function_name, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            let (line, column) = start(function);
            self.found.push(RefusedCall { line, column, function: function_name, why });
        }
    }
}

/// The name by which regorus looks a function up (`get_path_string`): steps joined by dots, and brackets
/// that hold no plain string left out.
fn name(mut function: &Expr) -> Option<String> {
    let mut steps = Vec::new();
    loop {
        match function {
            Expr::Var { span, .. } => {
                steps.push(span.text().to_owned());
                steps.reverse();
                return Some(steps.join("."));
            }
            Expr::RefDot { refr, field, .. } => {
                steps.push(field.0.text().to_owned());
                function = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                if let Expr::String { value, .. } = &**index {
                    steps.push(value.as_string().ok()?.to_string());
                }
                function = refr;
            }
            _ => return None,
        }
    }
}

/// Where a reference begins.
fn start(mut function: &Expr) -> (u32, u32) {
    while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = function {
        function = refr;
    }
    (function.span().line, function.span().col)
}

#[cfg(test)]
mod tests {
    use regorus::Value;

    #[test]
    fn regorus_still_takes_an_object_of_one_name_for_a_number_of_any_size() {
        let text = r#"{"$serde_json::private::Number": "1e400"}"#;
        assert!(matches!(Value::from_json_str(text), Ok(Value::Number(_))));
    }
}
