//! Makes the JSON Schema from the structs, and compares it with the one in the repository.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::Policy;

/// Set to rewrite the file.
const UPDATE: &str = "UPDATE_POLICY_SCHEMA";

/// The schema of the structs, with each default, and with no key required that has one.
fn made() -> String {
    let generator =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = generator.into_generator().into_root_schema_for::<Policy>().to_value();
    let defaults = serde_json::to_value(Policy::default()).unwrap();
    add_defaults(&mut schema, &defaults);
    // Each class has the keys of class `default`, and their defaults from there.
    let properties = object(&mut schema).get_mut("properties").unwrap();
    forget_required(&mut properties["class"]);
    // A required key is one without a default: `class` of a rule.
    format!("{schema:#}\n")
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().unwrap()
}

fn add_defaults(schema: &mut Value, defaults: &Value) {
    let schema = object(schema);
    schema.remove("required");
    let Some(properties) = schema.get_mut("properties") else { return };
    for (key, property) in object(properties) {
        match defaults.get(key) {
            Some(inner @ Value::Object(_)) => add_defaults(property, inner),
            Some(value) => {
                object(property).insert("default".into(), value.clone());
            }
            None => {}
        }
    }
}

fn forget_required(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("required");
            members.values_mut().for_each(forget_required);
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_required),
        _ => {}
    }
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_structs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy.schema.json");
    let made = made();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), made, "{UPDATE}=1 cargo test -p policy rewrites it");
}

#[test]
fn the_schema_has_the_default_of_every_key() {
    fn keys_without_default(path: &str, schema: &Value, found: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            if schema.get("default").is_none() {
                found.push(path.to_owned());
            }
            return;
        };
        for (key, property) in properties {
            keys_without_default(&format!("{path}.{key}"), property, found);
        }
    }
    let mut found = Vec::new();
    keys_without_default("", &serde_json::from_str(super::JSON_SCHEMA).unwrap(), &mut found);
    // Marks of pressure may be left away, and classes have names of their own.
    assert_eq!(found, [".class", ".host.psi.hard.some_avg10", ".host.psi.soft.full_avg10"]);
}
