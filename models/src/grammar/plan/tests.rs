//! Plans by chance: whatever is written, they lint clean.

use super::*;
use crate::engine::Model;
use crate::grammar::Grammars;
use crate::sampling::Sampling;
use crate::testing::{Random, answer, generations, tokenizer_json};
use crate::tokens::Tokens;
use charter::effect::EffectClass;
use charter::plan::{Plan, PlanSource};
use charter::reference;
use charter::tool::Limits;
use moroni::lint::lint;
use moroni::written::read;
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

fn spec(
    name: &str,
    effect: EffectClass,
    required: Value,
    properties: Value,
    output: &str,
) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        version: 3,
        summary: String::new(),
        effect,
        args: json!({
            "type": "object", "additionalProperties": false, "required": required,
            "properties": properties,
        }),
        output: output.to_owned(),
        undo: String::new(),
        limits: Limits::default(),
        asks_model: false,
    }
}

/// Tools with every kind of argument.
fn specs() -> Vec<ToolSpec> {
    let text = json!({"type": "string", "minLength": 1});
    let files = json!({"oneOf": [text, {"type": "array", "items": text, "maxItems": 10_000}]});
    vec![
        spec(
            "list",
            EffectClass::Read,
            json!(["files"]),
            json!({"files": files, "kind": {"enum": ["file", "folder \"x\""]}, "larger_than": {"type": "integer", "minimum": 0}}),
            "files: [{path, bytes}] sorted, count, skipped_secrets",
        ),
        spec(
            "table",
            EffectClass::Read,
            json!([]),
            json!({
                "rows": {"type": "array", "items": {"type": "object"}},
                "where": {"type": "array", "maxItems": 50, "items": {
                    "type": "object", "additionalProperties": false,
                    "required": ["column", "value"],
                    "properties": {
                        "column": {"type": "string"},
                        "value": {"type": ["string", "number", "boolean", "null"]},
                    },
                }},
                "limit": {"type": "integer", "minimum": 1, "maximum": 20},
                "share": {"type": "number"},
            }),
            "rows, columns, count (number of rows). A group row holds more",
        ),
        spec(
            "compose",
            EffectClass::Think,
            json!([]),
            json!({"rows": {"type": "array", "items": {"type": "object"}}, "totals": {"type": "object"}, "descending": {"type": "boolean"}}),
            "text (Markdown), rows",
        ),
        spec(
            "write",
            EffectClass::Change,
            json!(["path", "text"]),
            json!({"path": text, "text": {"type": "string"}}),
            "path, bytes",
        ),
        spec(
            "run",
            EffectClass::Exec,
            json!(["program"]),
            json!({
                "program": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 64},
                "env": {"type": "object", "additionalProperties": {"type": "string"}},
                "kinds": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z]+$"}, "maxItems": 50},
                "ok_exits": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": 255}},
            }),
            "exit, ok (whether it is fine), stdout",
        ),
        spec("wait", EffectClass::Think, json!(["value"]), json!({"value": {"description": "anything"}, "in": {"$ref": "#/$defs/place"}}), ""),
    ]
    .into_iter()
    .map(|mut spec| {
        if spec.name == "wait" {
            spec.args["$defs"] = json!({"place": {"type": "object", "additionalProperties": false, "properties": {"at": {"type": "string"}}}});
        }
        spec
    })
    .collect()
}

struct Writer {
    tokens: Arc<Tokens>,
    grammars: Arc<Grammars>,
    width: usize,
    shape: Shape,
    specs: Vec<ToolSpec>,
}

impl Writer {
    fn new() -> Self {
        let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
        let width = 275 + 13;
        let grammars = Arc::new(Grammars::new(Arc::clone(&tokens), width).unwrap());
        let specs = specs();
        let mut tools: Vec<PlanTool> = specs.iter().map(PlanTool::of).collect();
        // What is there can be listed, beside references to what is not yet.
        let there = json!({"enum": ["a.csv", "a", "notes/\"b\".md", "$x"], "x-or-reference": true});
        tools[0].args["properties"]["files"] =
            json!({"oneOf": [there, {"type": "array", "minItems": 1, "items": there}]});
        Self { tokens, grammars, width, shape: shape(&tools).unwrap(), specs }
    }

    fn text(&self, model: impl Model + 'static, max_tokens: u32, seed: u64) -> String {
        let sampling = Sampling { temperature: 1.3, ..Sampling::default() };
        answer(model, &self.grammars, &self.shape, max_tokens, sampling, seed).text
    }

    fn plan(&self, text: &str) -> Plan {
        let plan = read(text, "any", PlanSource::File, &self.specs);
        plan.unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

#[test]
fn plans_by_chance_lint_clean_and_use_everything() {
    let writer = Writer::new();
    let mut lengths = BTreeMap::new();
    let mut tools = BTreeMap::new();
    let (mut with, mut without) = (0, 0);
    for seed in 0..generations(300) {
        let most = [120, 300, 700, 1_600][seed as usize % 4];
        let text = writer.text(Random::new(writer.width, seed), most, seed);
        let plan = writer.plan(&text);
        let found: Vec<String> =
            lint(&plan, &writer.specs).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "seed {seed}: {found:?}\n{text}");
        *lengths.entry(plan.steps.len()).or_insert(0) += 1;
        for step in &plan.steps {
            *tools.entry(step.tool.clone()).or_insert(0) += 1;
        }
        let edges = plan.steps.iter().any(|step| !reference::steps_named(&step.args).is_empty());
        if edges { with += 1 } else { without += 1 }
    }
    assert_eq!(
        lengths.keys().copied().collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8],
        "{lengths:?}"
    );
    assert_eq!(tools.len(), writer.specs.len(), "{tools:?}");
    assert!(with >= 15 && without >= 15, "{with} with edges, {without} without");
}

#[test]
fn calls_by_chance_fit_their_tool() {
    let writer = Writer::new();
    let mut tools = BTreeMap::new();
    for seed in 0..generations(300) {
        let spec = &writer.specs[seed as usize % writer.specs.len()];
        let most = [60, 120, 300, 700][seed as usize % 7 % 4];
        let sampling = Sampling { temperature: 1.3, ..Sampling::default() };
        let (model, shape) = (Random::new(writer.width, seed), Shape::Json(spec.args.clone()));
        let made = answer(model, &writer.grammars, &shape, most, sampling, seed);
        let args: Value = serde_json::from_str(&made.text)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}: {}", made.text));
        assert!(jsonschema::is_valid(&spec.args, &args), "seed {seed}: {}: {args}", spec.name);
        *tools.entry(spec.name.clone()).or_insert(0) += 1;
    }
    assert_eq!(tools.len(), writer.specs.len(), "{tools:?}");
}

#[test]
fn whatever_the_weights() {
    let writer = Writer::new();
    for arch in ["qwen2", "qwen3"] {
        for seed in 0..4 {
            let folder = tempfile::TempDir::new().unwrap();
            crate::testing::Tiny { seed, ..crate::testing::Tiny::new(arch) }
                .write_folder(folder.path());
            let model = crate::Qwen::load(folder.path()).unwrap();
            let messages = vec![charter::generate::Message::user("Count the logs.")];
            let ask = charter::generate::Ask {
                temperature: 1.0,
                seed,
                ..charter::generate::Ask::new(messages, writer.shape.clone(), 300)
            };
            let made = charter::generate::Generate::generate(&model, &ask, &mut |_| {
                ControlFlow::Continue(())
            });
            let text = made.unwrap().text;
            let found = lint(&writer.plan(&text), &writer.specs);
            assert!(found.is_empty(), "{found:?}\n{text}");
        }
    }
}

#[test]
fn no_plan_refers_to_what_is_not_there() {
    let writer = Writer::new();
    let dollar = writer.tokens.encode("${").unwrap()[0];
    let mut references = 0;
    for seed in 0..40 {
        // A model that loves references: every plan is full of them.
        let mut fond = Random::new(writer.width, seed);
        for token in [dollar, u32::from(b'$'), u32::from(b'"')] {
            fond.taste[token as usize] += 12.0;
        }
        let text = writer.text(fond, 900, seed);
        let plan = writer.plan(&text);
        assert_eq!(lint(&plan, &writer.specs), []);
        let mut texts = Vec::new();
        for step in &plan.steps {
            collect(&step.args, &mut |text| texts.push((step.n, text.to_owned())));
        }
        texts.extend(plan.answer.iter().map(|answer| (9, answer.clone())));
        for (n, text) in texts {
            for piece in moroni::refs::pieces(&text).unwrap() {
                let moroni::refs::Piece::Reference { head, path } = piece else { continue };
                let step: u32 = head.parse().unwrap();
                assert!(step < n, "{text}");
                let tool = &plan.step(step).unwrap().tool;
                let spec = writer.specs.iter().find(|spec| spec.name == *tool).unwrap();
                let fields = spec.fields();
                assert_eq!(path.is_some(), !fields.is_empty(), "{text}");
                assert!(path.is_none_or(|path| fields.iter().any(|own| own == path)), "{text}");
                references += 1;
            }
        }
    }
    assert!(references > 100, "{references}");
}

fn collect(value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn tool_sets_without_a_grammar_are_refused() {
    assert_eq!(shape(&[]), Err(PlanShapeError::NoTools));
    let tool =
        |fields: &[String]| PlanTool { name: "t".into(), args: json!({}), fields: fields.to_vec() };
    assert_eq!(shape(&[tool(&["a}b".into()])]), Err(PlanShapeError::Name("a}b".into())));
    let many: Vec<PlanTool> = (0..300).map(|n| tool(&[format!("f{n}")])).collect();
    assert!(matches!(shape(&many), Err(PlanShapeError::TooManyKinds { kinds: 300, .. })));
}
