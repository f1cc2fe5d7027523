//! A small plan and its tools, for the tests of this crate.

use charter::budget::Budget;
use charter::effect::EffectClass;
use charter::plan::{Plan, PlanSource, Step};
use charter::tool::{Limits, ToolSpec};
use serde_json::{Value, json};

/// Three tools.
pub(crate) fn specs() -> Vec<ToolSpec> {
    let spec = |name: &str, effect, args: Value| ToolSpec {
        name: name.to_owned(),
        version: 1,
        summary: format!("{name}s things"),
        effect,
        args,
        output: String::new(),
        undo: String::new(),
        limits: Limits::default(),
        asks_model: false,
    };
    let args = |properties: Value, required: Value| {
        json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        })
    };
    let text = json!({"type": "string"});
    vec![
        spec("list", EffectClass::Read, args(json!({"files": text}), json!(["files"]))),
        spec(
            "write",
            EffectClass::Change,
            args(json!({"path": text, "text": text}), json!(["path", "text"])),
        ),
        spec("delete", EffectClass::Change, args(json!({"path": text}), json!(["path"]))),
    ]
}

/// Lists files and writes their number down.
pub(crate) fn plan() -> Plan {
    let step = |n: u32, title: &str, tool: &str, effect, args: Value| Step {
        n,
        title: title.to_owned(),
        tool: tool.to_owned(),
        version: 1,
        args,
        after: Vec::new(),
        for_each: None,
        effect,
        limits: Limits::default(),
    };
    Plan {
        goal: "count the logs".to_owned(),
        source: PlanSource::File,
        steps: vec![
            step(1, "List the logs", "list", EffectClass::Read, json!({"files": "*.log"})),
            step(
                2,
                "Write the number",
                "write",
                EffectClass::Change,
                json!({"path": "count.txt", "text": "${1.count} logs"}),
            ),
        ],
        answer: Some("${1.count} logs, see ${2.path}.".to_owned()),
        unmet: Vec::new(),
        budget: Budget::default(),
    }
}
