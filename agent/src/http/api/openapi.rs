//! `openapi.json`, from the types that are sent and the lists that queries are read by. `cargo xtask docs` has the test in
//! here write it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::super::query::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::model::{Disposition, FindingId, Handler, HookResult, Outcome, Phase, Reason};
use crate::report::{Health, KnownPod, Termination, WorkloadSummary};

/// Set by `cargo xtask docs`.
const WRITE: &str = "GRACETRACE_WRITE_DOCS";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi.json");

/// A problem, as RFC 9457 has it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its shape is what counts")]
struct Problem {
    /// `about:blank`: the title says it all.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do about it.
    detail: String,
    /// The parameter that is wrong, if one is.
    #[schemars(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|item| word(*item)).collect()
}

/// What the contract's words can be, by the link that its documentation has.
fn known_words() -> [(&'static str, Vec<&'static str>); 7] {
    [
        ("Reason", words(Reason::ALL, Reason::as_str)),
        ("Outcome", words(Outcome::ALL, Outcome::as_str)),
        ("Phase", words(Phase::ALL, Phase::as_str)),
        ("HookResult", words(HookResult::ALL, HookResult::as_str)),
        ("Disposition", words(Disposition::ALL, Disposition::as_str)),
        ("FindingId", words(FindingId::ALL, FindingId::as_str)),
        ("Handler", words(Handler::ALL, Handler::as_str)),
    ]
}

fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let paths = paths(&mut generator);
    let mut schemas = Value::Object(generator.take_definitions(true));
    tell_words(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "gracetrace",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "How the pods of a node die",
            "description": "Fields are added, never renamed: pass over what you do not know, words included. `null` is \"not \
                            measured\" or \"not yet\", never 0.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "responses": responses() },
    })
}

/// Replaces links into the code by what they lead to.
fn tell_words(value: &mut Value) {
    match value {
        Value::String(text) => {
            for (name, words) in known_words() {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                let link = format!("[`crate::model::{name}`]");
                *text = text.replace(&format!("see {link}"), &words.join(", ")).replace(&link, &words.join(", "));
            }
            *text = text.replace("[`WorkloadSummary::RECENT`]", &WorkloadSummary::RECENT.to_string());
            // Rust's word for it.
            *text = text.replace("`None`", "`null`").replace('\n', " ");
        }
        Value::Array(items) => items.iter_mut().for_each(tell_words),
        Value::Object(members) => members.values_mut().for_each(tell_words),
        _ => {}
    }
}

fn paths(generator: &mut SchemaGenerator) -> Value {
    let termination = of::<Termination>(generator);
    let problem = of::<Problem>(generator);
    drop(problem);
    let whose = || vec![text("namespace", "Namespace, exact."), text("pod", "Pod, exact."), workload()];
    let without_pod = || vec![text("namespace", "Namespace, exact."), workload()];
    let narrowed = [
        list_of("outcome", "How it ended; one that goes on has no outcome.", words(Outcome::ALL, Outcome::as_str)),
        list_of("finding", "It has this finding.", words(FindingId::ALL, FindingId::as_str)),
        list_of("reason", "Why it was ended.", words(Reason::ALL, Reason::as_str)),
        list_of("phase", "Where it stands.", words(Phase::ALL, Phase::as_str)),
        parameter("in_progress", "Whether it goes on.", json!({ "type": "boolean" })),
        moment("since", "It ended then or later, or goes on."),
        moment("until", "It began then or earlier."),
    ];
    let cursor = json!({ "type": "string", "pattern": "^[0-9a-f]{1,16}\\..+$" });
    let parameters = whose().into_iter().chain(narrowed).chain(part(cursor)).collect();
    let mut terminations = operation("listTerminations", "The terminations that are kept, newest first", parameters);
    respond(&mut terminations, array(&termination), &["NotModified", "BadRequest"]);
    let headers = &mut terminations["responses"]["200"]["headers"];
    headers["Link"] = link();
    headers["Gracetrace-Event-Id"] = json!({
        "description": "Where the stream goes on from this list: its `last_event_id`.",
        "required": true,
        "schema": { "type": "string" },
    });
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } });
    let mut one = operation("getTermination", "One termination", vec![id]);
    respond(&mut one, termination, &["NotModified", "BadRequest", "NotFound"]);
    let cursor = || json!({ "type": "string", "minLength": 1 });
    let listing = |whose: Vec<Value>| whose.into_iter().chain(part(cursor())).collect();
    let about = "What the terminations of each workload have in common, by namespace, kind and name";
    let mut workloads = operation("listWorkloads", about, listing(without_pod()));
    respond(&mut workloads, array(&of::<WorkloadSummary>(generator)), &["NotModified", "BadRequest"]);
    workloads["responses"]["200"]["headers"]["Link"] = link();
    let mut pods = operation("listPods", "The pods that the agent knows now, by uid", listing(whose()));
    respond(&mut pods, array(&of::<KnownPod>(generator)), &["BadRequest", "Unavailable"]);
    pods["responses"]["200"]["headers"] = json!({ "Link": link() });
    let mut health = operation("getHealth", "How the agent itself is doing", Vec::new());
    respond(&mut health, of::<Health>(generator), &["BadRequest", "Unavailable"]);
    let mut openapi = operation("getOpenapi", "This document", Vec::new());
    respond(&mut openapi, json!({ "type": "object" }), &["NotModified", "BadRequest"]);
    json!({
        "/api/v1/terminations": { "get": terminations },
        "/api/v1/terminations/{id}": { "get": one },
        "/api/v1/workloads": { "get": workloads },
        "/api/v1/stream": { "get": stream(whose()) },
        "/api/v1/pods": { "get": pods },
        "/api/v1/health": { "get": health },
        "/api/v1/openapi.json": { "get": openapi },
    })
}

fn stream(mut parameters: Vec<Value>) -> Value {
    parameters.push(text("last_event_id", "Go on after this event; the header wins over it."));
    parameters.push(json!({
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Go on after this event.",
        "schema": { "type": "string" },
    }));
    let mut stream = operation("stream", "Changes of terminations, as server-sent events", parameters);
    stream["responses"] = json!({
        "200": {
            "description": "Events without end. `changed` and `finished`: a Termination. `gone`: its `id`, and `why` (`withdrawn`, \
                            `evicted`). `hello`, `reset`: the `event_id` that it goes on from; after a `reset` the list has to be \
                            read anew. `dropped`: the reader is too slow, and has to connect again.",
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        },
        "400": { "$ref": "#/components/responses/BadRequest" },
        "503": { "$ref": "#/components/responses/Unavailable" },
    });
    stream
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn array(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "maxItems": MAX_LIMIT })
}

fn operation(id: &str, summary: &str, parameters: Vec<Value>) -> Value {
    json!({ "operationId": id, "summary": summary, "parameters": parameters })
}

fn respond(operation: &mut Value, schema: Value, others: &[&str]) {
    let mut responses = Map::new();
    let mut ok = json!({ "description": "As asked.", "content": { "application/json": { "schema": schema } } });
    if others.contains(&"NotModified") {
        ok["headers"] = json!({ "ETag": {
            "description": "For If-None-Match.",
            "required": true,
            "schema": { "type": "string" },
        } });
    }
    responses.insert("200".to_owned(), ok);
    for name in others {
        let status = match *name {
            "NotModified" => "304",
            "BadRequest" => "400",
            "NotFound" => "404",
            "Unavailable" => "503",
            other => panic!("what is the status of {other}?"),
        };
        responses.insert(status.to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    operation["responses"] = Value::Object(responses);
}

fn responses() -> Value {
    let problem = |description: &str| {
        json!({
            "description": description,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        })
    };
    let mut unavailable = problem("Not at this moment.");
    unavailable["headers"] = json!({ "Retry-After": {
        "description": "Seconds.",
        "required": true,
        "schema": { "type": "integer" },
    } });
    json!({
        "NotModified": { "description": "What If-None-Match names is what there is." },
        "BadRequest": problem("A parameter is unknown, empty, given twice, or not understood."),
        "NotFound": problem("There is no such termination, or it had to make room for newer ones."),
        "Unavailable": unavailable,
    })
}

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn text(name: &str, description: &str) -> Value {
    parameter(name, description, json!({ "type": "string", "minLength": 1 }))
}

fn workload() -> Value {
    text("workload", "`name`, or `kind/name` with the kind in upper or lower case.")
}

fn list_of(name: &str, description: &str, words: Vec<&str>) -> Value {
    let description = format!("{description} With commas between several: one of them has to be right.");
    let schema = json!({ "type": "array", "items": { "type": "string", "enum": words }, "minItems": 1 });
    let mut parameter = parameter(name, &description, schema);
    parameter["style"] = "form".into();
    parameter["explode"] = false.into();
    parameter
}

fn moment(name: &str, description: &str) -> Value {
    let description = format!("{description} A time of RFC 3339, or so long ago: `15m`, `1h30m`.");
    let schema = json!({ "anyOf": [
        { "type": "string", "format": "date-time" },
        { "type": "string", "pattern": "^([0-9]{1,9}(ms|s|m|h|d)){1,8}$" },
    ] });
    parameter(name, &description, schema)
}

fn part(cursor: Value) -> [Value; 2] {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT });
    [
        parameter("limit", "At most so many.", limit),
        parameter("cursor", "Where to go on: from the Link of the part before.", cursor),
    ]
}

fn link() -> Value {
    json!({ "description": "With `rel=\"next\"` where the next part is, if there is more.", "schema": { "type": "string" } })
}

#[test]
fn the_document_is_up_to_date() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap_or_default()).unwrap_or_default();
    // Not as texts: the order of members is that of whoever builds with or without `preserve_order` of serde_json.
    assert!(written == document(), "openapi.json is not what is sent: run `cargo xtask docs`");
    for trace in ["crate::", "[`", "`None`"] {
        assert!(!text.contains(trace), "{trace:?} is Rust's, not the API's");
    }
}

#[test]
fn every_parameter_that_is_read_is_in_it_and_no_other() {
    use super::super::query;
    use crate::model::BootTime;

    let document = document();
    type Read = fn(&str) -> Result<(), query::QueryError>;
    let routes: [(&str, Read); 4] = [
        ("/api/v1/terminations", |query| query::terminations(query, BootTime(0)).map(drop)),
        ("/api/v1/workloads", |query| query::workloads(query).map(drop)),
        ("/api/v1/pods", |query| query::pods(query).map(drop)),
        ("/api/v1/stream", |query| query::stream(query).map(drop)),
    ];
    for (path, read) in routes {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let names = parameters.iter().filter(|it| it["in"] == "query").map(|it| it["name"].as_str().unwrap());
        let mut names: Vec<&str> = names.collect();
        let unknown = read("nonsense=1").unwrap_err().detail;
        let understood = unknown.split_once(": ").unwrap().1.strip_suffix(" are understood").unwrap();
        let mut understood: Vec<&str> = understood.split(", ").flat_map(|part| part.split(" and ")).collect();
        names.sort_unstable();
        understood.sort_unstable();
        assert_eq!(names, understood, "{path}");
        for name in names {
            // Empty is an error of its own; unknown is another.
            assert_eq!(read(&format!("{name}=")).unwrap_err().detail, format!("{name} is empty"));
        }
    }
}
