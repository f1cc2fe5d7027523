//! The grammar of plans: a model that follows it cannot write an invalid one.
//!
//! A plan is one JSON object whose keys are the names of its steps in order:
//!
//! ```json
//! {"s1": {"title": "…", "tool": "list", "args": {"files": "*.log"}},
//!  "s2": {"title": "…", "tool": "write", "args": {"path": "n.txt", "text": "${s1.count} logs"}},
//!  "answer": "There are ${s1.count}."}
//! ```
//!
//! Arguments follow the schema of the tool. A reference names an earlier step and
//! a field that the tool of *that* step gives. No context-free grammar can say
//! this; llguidance's rules with a parameter can: the parameter holds, for each
//! position, the kind of tool that was chosen there (0: none yet), and a
//! reference to a position can be written only where its kind has the field.

mod rules;

use crate::grammar::compile::literal;
use charter::generate::{PLAN_STEPS_MAX as STEPS_MAX, Shape};
use charter::tool::ToolSpec;
use rules::{Part, Rules};
use serde_json::Value;

/// Bits of a rule's parameter.
const BITS: usize = 64;
/// References and dollars that one text may hold.
const MARKS_MAX: usize = 4;

/// A tool as the grammar sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTool {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments.
    pub args: Value,
    /// What its output holds: names that a reference may use. Empty: only the
    /// output as a whole.
    pub fields: Vec<String>,
}

impl PlanTool {
    /// From what a tool says of itself.
    pub fn of(spec: &ToolSpec) -> Self {
        Self { name: spec.name.clone(), args: spec.args.clone(), fields: spec.fields() }
    }
}

/// A set of tools that no grammar can be made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanShapeError {
    /// Nothing to plan with.
    #[error("a plan needs at least one tool")]
    NoTools,
    /// More different kinds of output than the parameter can tell apart.
    #[error(
        "the tools have {kinds} different kinds of output, more than {most}: offer fewer tools"
    )]
    TooManyKinds {
        /// How many there are.
        kinds: usize,
        /// How many may be.
        most: usize,
    },
    /// A name that cannot stand in a plan.
    #[error("{0:?} cannot stand in a reference")]
    Name(String),
}

/// The shape of plans with these tools.
pub fn shape(tools: &[PlanTool]) -> Result<Shape, PlanShapeError> {
    if tools.is_empty() {
        return Err(PlanShapeError::NoTools);
    }
    let mut kinds: Vec<&[String]> = Vec::new();
    let mut kind_of = Vec::with_capacity(tools.len());
    for tool in tools {
        if let Some(field) = tool.fields.iter().find(|field| !is_field(field)) {
            return Err(PlanShapeError::Name(field.clone()));
        }
        let known = kinds.iter().position(|fields| *fields == tool.fields.as_slice());
        kind_of.push(known.unwrap_or_else(|| {
            kinds.push(&tool.fields);
            kinds.len() - 1
        }));
    }
    let most = (1 << (BITS / STEPS_MAX)) - 1;
    if kinds.len() > most {
        return Err(PlanShapeError::TooManyKinds { kinds: kinds.len(), most });
    }
    let width = usize::BITS as usize - kinds.len().leading_zeros() as usize;
    let mut rules = Rules::default();
    rules.references(&kinds, width);
    let args: Vec<Part> =
        tools.iter().map(|tool| rules.object(&tool.args, &tool.args, 0)).collect();
    for n in 1..=STEPS_MAX {
        let begin = format!(r#""s{n}":{{"title":""#);
        let body = format!("{} TITLE {} tool{n}::_", literal(&begin), literal(r#"","tool":""#));
        rules.add(&format!("s{n}::_"), &body);
        let alternatives: Vec<String> = tools
            .iter()
            .zip(&args)
            .zip(&kind_of)
            .map(|((tool, args), kind)| {
                let name = Value::from(tool.name.as_str()).to_string();
                let text = format!(r#"{},"args":"#, name.get(1..).unwrap_or_default());
                let chosen = ((*kind as u64) + 1) << ((n - 1) * width);
                format!("{} {} next{n}::bit_or({chosen:#x})", literal(&text), args.call())
            })
            .collect();
        rules.add(&format!("tool{n}::_"), &alternatives.join(" | "));
        // No word of the grammar begins with another that may stand at its place.
        let end = format!("{} text::_ {}", literal(r#""answer":""#), literal("\"}"));
        let more = if n < STEPS_MAX { format!("s{}::_ | ", n + 1) } else { String::new() };
        rules.add(&format!("next{n}::_"), &format!("{} then{n}::_", literal("},")));
        rules.add(&format!("then{n}::_"), &format!("{more}{end}"));
    }
    Ok(Shape::Lark(format!("start: \"{{\" s1::0x0\n{}", rules.text)))
}

/// Whether a word may follow a dot in a reference.
fn is_field(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests;
