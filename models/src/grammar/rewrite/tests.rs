use super::*;
use expect_test::{Expect, expect};

fn check(schema: &Value, expect: &Expect) {
    let said = rewritten(schema).map_or_else(|why| why.to_string(), |new| new.to_string());
    expect.assert_eq(&said);
}

#[test]
fn negations_are_pushed_inwards() {
    check(
        &json!({"type": "object", "not": {"required": ["a"]}}),
        &expect![[r#"{"type":"object","allOf":[{"type":"object","properties":{"a":false}}]}"#]],
    );
    check(
        &json!({"not": {"type": ["string", "null"]}}),
        &expect![[r#"{"allOf":[{"type":["boolean","number","array","object"]}]}"#]],
    );
    check(
        &json!({"not": {"anyOf": [{"minimum": 3}, {"maxLength": 2}]}}),
        &expect![[
            r#"{"allOf":[{"allOf":[{"type":"number","exclusiveMaximum":3},{"type":"string","minLength":3}]}]}"#
        ]],
    );
    check(
        &json!({"not": {"not": {"enum": [1, "a"]}}}),
        &expect![[r#"{"allOf":[{"enum":[1,"a"]}]}"#]],
    );
    check(
        &json!({"not": {"enum": [3, 1, true, "ab", "ac", ""]}}),
        &expect![[
            r#"{"allOf":[{"anyOf":[{"type":["null","array","object"]},{"type":"string","pattern":"^(?s:[^\\x{61}].*|\\x{61}(?:|[^\\x{62}\\x{63}].*|\\x{62}(?:.+)|\\x{63}(?:.+)))$"},{"type":"number","exclusiveMaximum":1.0},{"type":"number","exclusiveMinimum":1.0,"exclusiveMaximum":3.0},{"type":"number","exclusiveMinimum":3.0},{"enum":[false]}]}]}"#
        ]],
    );
    check(
        &json!({"not": {"pattern": "^[a-z]+$"}}),
        &expect![[r#"{"allOf":[{"type":"string","pattern":"^$|[\u0000-`\\{-􏿿]"}]}"#]],
    );
    check(
        &json!({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"properties": {"b": {"const": 1}}}}}),
        &expect![[
            r#"{"$defs":{"a":{"properties":{"b":{"const":1}}}},"allOf":[{"type":"object","required":["b"],"properties":{"b":{"anyOf":[{"type":["null","boolean","string","array","object"]},{"type":"number","exclusiveMaximum":1.0},{"type":"number","exclusiveMinimum":1.0}]}}}]}"#
        ]],
    );
    check(&json!({"not": {}}), &expect![[r#"{"allOf":[false]}"#]]);
    check(
        &json!({"not": {"multipleOf": 3}}),
        &expect!["not: what it forbids cannot be said in a grammar"],
    );
}

#[test]
fn conditions_and_dependencies_are_choices() {
    check(
        &json!({"if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["b"]}}),
        &expect![[
            r#"{"allOf":[{"anyOf":[{"allOf":[{"properties":{"a":{"const":"x"}}},{"required":["b"]}]},{"allOf":[{"type":"object","required":["a"],"properties":{"a":{"anyOf":[{"type":["null","boolean","number","array","object"]},{"type":"string","pattern":"^(?s:|[^\\x{78}].*|\\x{78}(?:.+))$"}]}}},true]}]}]}"#
        ]],
    );
    check(
        &json!({"dependencies": {"a": ["b"], "c": {"minProperties": 2}}}),
        &expect![[
            r#"{"allOf":[{"anyOf":[{"properties":{"a":false}},{"allOf":[{"required":["a"]},{"required":["b"]}]}]},{"anyOf":[{"properties":{"c":false}},{"allOf":[{"required":["c"]},{"minProperties":2}]}]}]}"#
        ]],
    );
    check(
        &json!({"propertyNames": {"pattern": "^a"}}),
        &expect![[r#"{"allOf":[{"patternProperties":{"^a":true},"additionalProperties":false}]}"#]],
    );
    check(
        &json!({"propertyNames": {"enum": ["a.b", "c"]}, "allOf": [true]}),
        &expect![[
            r#"{"allOf":[true],"anyOf":[{"allOf":[{"patternProperties":{"^(?:a\\.b|c)$":true},"additionalProperties":false}]}]}"#
        ]],
    );
    check(&json!({"uniqueItems": true, "maxItems": 1}), &expect![[r#"{"maxItems":1}"#]]);
    check(
        &json!({"uniqueItems": true}),
        &expect!["uniqueItems: a grammar does not remember what was written"],
    );
    check(&json!({"format": "no-such"}), &expect!["{}"]);
    check(&json!({"format": "date"}), &expect![[r#"{"format":"date"}"#]]);
}

#[test]
fn one_of_is_any_of_where_the_options_exclude_each_other() {
    let tagged = |tag: &str| json!({"properties": {"t": {"const": tag}}, "required": ["t"]});
    check(
        &json!({"type": "object", "oneOf": [tagged("a"), tagged("b")]}),
        &expect![[
            r#"{"type":"object","allOf":[{"anyOf":[{"properties":{"t":{"const":"a"}},"required":["t"]},{"properties":{"t":{"const":"b"}},"required":["t"]}]}]}"#
        ]],
    );
    check(
        &json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
        &expect![[r#"{"allOf":[{"anyOf":[{"type":"integer"},{"type":"string"}]}]}"#]],
    );
    check(
        &json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        &expect![[
            r#"{"type":"object","allOf":[{"anyOf":[{"allOf":[{"required":["a"]},{"type":"object","properties":{"b":false}}]},{"allOf":[{"required":["b"]},{"type":"object","properties":{"a":false}}]}]}]}"#
        ]],
    );
    check(
        &json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}),
        &expect![[r#"{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}"#]],
    );
}

/// Each was once allowed to be more than it says.
#[test]
fn what_was_allowed_by_mistake_is_not() {
    let forbidden = [
        (json!({"type": "string", "not": {"pattern": "\\W"}}), json!("\u{e9}")),
        (json!({"not": {"pattern": "^\\D+$"}}), json!("\u{663}")),
        (json!({"contains": {"const": 1}, "minContains": 0, "maxContains": 0}), json!([1])),
        (json!({"not": {"contains": {"const": 1}, "minContains": 0}}), json!([2])),
        (json!({"not": {"prefixItems": [true], "items": {"type": "string"}}}), json!([1])),
        (json!({"propertyNames": {"enum": []}}), json!({"": 1})),
        (
            json!({"propertyNames": {"$ref": "#/$defs/n", "pattern": "^b"}, "$defs": {"n": {"pattern": "^a"}}}),
            json!({"a": 1}),
        ),
        (json!({"not": {"maxLength": u64::MAX}}), json!("a")),
        (json!({"oneOf": [{"const": [1]}, {"const": [1.0]}]}), json!([1])),
    ];
    for (schema, value) in forbidden {
        assert!(!jsonschema::is_valid(&schema, &value), "{schema} allows {value}");
        let allowed = rewritten(&schema).is_ok_and(|new| jsonschema::is_valid(&new, &value));
        assert!(!allowed, "{value}: {:?}", rewritten(&schema).map(|new| new.to_string()));
    }
    let loose = json!({"oneOf": [
        {"not": {"type": "object", "patternProperties": {"^x": {"type": "string"}}}},
        {"type": "object", "properties": {"c": {"$ref": "#/oneOf/1"}}},
    ]});
    assert_eq!(rewritten(&loose).unwrap_err().keyword, "oneOf");
    assert_eq!(
        rewritten(&json!({"propertyNames": {"type": "string"}})),
        Ok(json!({"allOf": [true]}))
    );
}

/// Schemas that were made to take for ever, or all memory.
#[test]
fn what_explodes_is_refused_soon() {
    let many =
        |count: usize, of: &dyn Fn(usize) -> Value| -> Value { (0..count).map(of).collect() };
    let itself = |_| json!({"$ref": "#/$defs/a"});
    let schemas = [
        json!({"oneOf": [itself(0), itself(0)], "$defs": {"a": {"anyOf": many(1_000, &itself)}}}),
        json!({"oneOf": many(20_000, &|n| json!({"const": n}))}),
        json!({"oneOf": many(300, &|n| json!({"required": [n.to_string()]}))}),
        json!({"not": {"const": "a".repeat(100_000)}}),
        json!({"not": {"enum": many(100_000, &|n| json!(n.to_string()))}}),
        json!({
            "not": {"anyOf": many(9_000, &|_| json!({"$ref": "#/$defs/d"}))},
            "$defs": {"d": {"enum": many(100_000, &|n| json!(n.to_string()))}},
        }),
        json!({
            "oneOf": [itself(0), {"$ref": "#/$defs/b"}],
            "$defs": {
                "a": {"type": "object", "required": ["0", "1", "2", "3", "4", "5", "6", "7"],
                    "properties": (0..8).map(|n| (n.to_string(), itself(0))).collect::<Map<_, _>>()},
                "b": {"$ref": "#/$defs/a"},
            },
        }),
    ];
    for schema in schemas {
        match rewritten(&schema) {
            Ok(new) => assert!(new.to_string().len() < 100_000),
            Err(why) => assert_eq!(why.keyword, "size"),
        }
    }
}

/// Values of all kinds, made from a few that the schemas below speak of.
fn values() -> Vec<Value> {
    let mut all = vec![json!(null), json!(true), json!(false)];
    all.extend([0.0, 1.0, 2.5, 3.0, 7.0].map(|number| json!(number)));
    all.extend([0, 1, 3, 6].map(|number| json!(number)));
    all.extend(["", "a", "ab", "b", "abc", "z9"].map(|text| json!(text)));
    let inner = all.clone();
    all.push(json!([]));
    all.push(json!({}));
    for value in inner {
        all.push(json!([value]));
        all.push(json!([1, value]));
        all.push(json!({"a": value}));
        all.push(json!({"b": value}));
        all.push(json!({"a": "ab", "b": value}));
    }
    all
}

proptest::proptest! {
    /// Whatever the rewritten schema allows, the schema itself does.
    #[test]
    fn nothing_becomes_allowed(schema in schemas()) {
        let Ok(new) = rewritten(&schema) else { return Ok(()) };
        let validator = |schema: &Value| jsonschema::draft201909::new(schema).unwrap();
        let (old, valid) = (validator(&schema), validator(&new));
        for value in values() {
            proptest::prop_assert!(
                !valid.is_valid(&value) || old.is_valid(&value),
                "{value} fits {new}, and not {schema}"
            );
        }
    }
}

fn schemas() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop::sample::select(vec![
        json!(true),
        json!(false),
        json!({}),
        json!({"type": "integer"}),
        json!({"type": ["string", "null"]}),
        json!({"const": 1}),
        json!({"enum": ["a", "ab", 3]}),
        json!({"enum": [true]}),
        json!({"minimum": 1}),
        json!({"exclusiveMaximum": 3}),
        json!({"minLength": 2}),
        json!({"maxLength": 1}),
        json!({"pattern": "^[a-b]+$"}),
        json!({"pattern": "b"}),
        json!({"required": ["a"]}),
        json!({"required": ["a", "b"]}),
        json!({"minItems": 1}),
        json!({"maxItems": 1}),
        json!({"minProperties": 1}),
        json!({"maxProperties": 1}),
        json!({"multipleOf": 3}),
        json!({"type": "object"}),
        json!({"additionalProperties": false, "properties": {"a": true}}),
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"propertyNames": {"enum": ["a"]}}),
    ]);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|a| json!({"not": a})),
            pair().prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            pair().prop_map(|(a, b)| json!({"allOf": [a, b]})),
            pair().prop_map(|(a, b)| json!({"oneOf": [a, b]})),
            pair().prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}})),
            pair().prop_map(|(a, b)| json!({"properties": {"a": a}, "required": ["a"], "not": b})),
            inner.clone().prop_map(|a| json!({"items": a})),
            inner.clone().prop_map(|a| json!({"contains": a})),
            inner.clone().prop_map(|a| json!({"dependentSchemas": {"a": a}})),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
        ]
    })
}
