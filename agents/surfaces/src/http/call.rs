//! From a request to an operation and back.

use super::problem::Problem;
use super::schema;
use super::table::{Does, Place, Route};
use super::{App, report, submit, talk};
use alma::operations;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Answers one request to a route of the table.
pub(super) async fn answer(
    app: &App,
    route: &'static Route,
    params: Option<RawPathParams>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let mut fields = inputs(route, params.as_ref(), parts.uri.query().unwrap_or_default())?;
    let body = match route.body {
        Some(shape) => self::body(app, route, shape, &parts.headers, body).await?,
        None => Map::new(),
    };
    match route.does {
        Does::Ask(name) => {
            fields.extend(body);
            step_of_mission(&mut fields);
            json(StatusCode::OK, &ask(app, name, fields).await?)
        }
        Does::Say(name, field, word) => {
            fields.insert(field.to_owned(), json!(word));
            fields.extend(body);
            json(StatusCode::OK, &ask(app, name, fields).await?)
        }
        Does::Plan(name) => {
            fields.extend(body);
            submit::plan(&app.alma, &mut fields)?;
            json(StatusCode::OK, &ask(app, name, fields).await?)
        }
        Does::Submit => self::submit(app, &parts.headers, body).await,
        Does::Events => events(app, &parts.headers, fields).await,
        Does::Talk => {
            fields.extend(body);
            submit::plan(&app.alma, &mut fields)?;
            talk::stream(&app.alma, &app.principal, Arc::clone(&app.hub), fields).await
        }
        Does::Health => {
            json(StatusCode::OK, &json!({ "status": "here", "version": env!("CARGO_PKG_VERSION") }))
        }
        Does::Ready => {
            let degraded = app.alma.installation.degraded();
            let dependencies = report::dependencies(app).await;
            let ready = dependencies.iter().all(|dependency| dependency.ready);
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json(
                status,
                &json!({
                    "ready": ready, "dependencies": dependencies, "degraded": degraded,
                }),
            )
        }
        Does::Metrics => {
            let text = report::metrics(app).await?;
            Ok(content("text/plain; version=0.0.4; charset=utf-8", text))
        }
        Does::Document => Ok(content("application/json", app.document.clone())),
        Does::Docs => Ok(content("text/html; charset=utf-8", app.page.clone())),
    }
}

/// Operations that may wait for a language model to think.
const THINKING: &[&str] = &[
    "chat.say",
    "mission.steer",
    "mission.submit",
    "nightly.run",
    "plan.dry_run",
    "plan.new",
    "schedules.new",
];
/// How long they may take with one: its plans and answers have bounds of their own,
/// and a submit that is cut off in the middle would come to nothing.
const THINKING_TIME: Duration = Duration::from_secs(3_600);

/// How long the answer of an operation may take.
fn time_of(app: &App, name: &str) -> Duration {
    let time = Duration::from_secs(app.alma.config.http.request_seconds.into());
    let thinks = THINKING.contains(&name) && app.alma.installation.generate().is_some();
    if thinks { time.max(THINKING_TIME) } else { time }
}

/// Asks an operation, within the time that an answer may take.
async fn ask(app: &App, name: &'static str, fields: Map<String, Value>) -> Result<Value, Problem> {
    let operation = operations::find(name)
        .ok_or_else(|| Problem::internal(format!("the operation {name} is not there")))?;
    let asking = (operation.call)(&app.alma, &app.principal, Value::Object(fields));
    let time = time_of(app, name);
    match tokio::time::timeout(time, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Problem::timeout(format!("there was no answer within {time:?}"))),
    }
}

/// A step is named by its mission and its place, each a part of the path.
fn step_of_mission(fields: &mut Map<String, Value>) {
    if let Some(Value::String(place)) = fields.get("step")
        && let Some(Value::String(mission)) = fields.get("mission")
    {
        let step = format!("{mission}/{place}");
        fields.remove("mission");
        fields.insert("step".to_owned(), json!(step));
    }
}

async fn submit(
    app: &App,
    headers: &HeaderMap,
    mut fields: Map<String, Value>,
) -> Result<Response<Body>, Problem> {
    let once = submit::once(headers, &fields)?;
    let named = once.is_some();
    if let Some(once) = once {
        fields.insert("once".to_owned(), json!(once));
    }
    let made = submit::mission(&app.alma, &mut fields)?;
    let own = fields.get("mission").cloned();
    let mut accepted = ask(app, "mission.submit", fields).await?;
    if let Some(made) = made.filter(|_| own.as_ref() == accepted.get("mission")) {
        made.keep();
    }
    let resumed = accepted["resumed"] == json!(true);
    // What stays true of a submit that is sent again.
    if let Some(fields) = accepted.as_object_mut() {
        fields.retain(|name, _| ["mission", "state", "plan", "digest", "text"].contains(&&**name));
    }
    let status = if resumed && !named { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = json(status, &accepted)?;
    let place = format!("/api/v1/missions/{}", accepted["mission"].as_str().unwrap_or_default());
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if resumed && named {
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", replayed);
    }
    Ok(response)
}

/// A stream, or a page of JSON for who asks for that.
async fn events(
    app: &App,
    headers: &HeaderMap,
    fields: Map<String, Value>,
) -> Result<Response<Body>, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.unwrap_or_default();
    if accept.contains("application/json") && !accept.contains("text/event-stream") {
        return json(StatusCode::OK, &ask(app, "mission.events", fields).await?);
    }
    let mission = serde_json::from_value(fields["mission"].clone())
        .map_err(|error| Problem::invalid(format!("mission: {error}")))?;
    let after = fields.get("after").map(Value::to_string);
    let last = match headers.get("last-event-id") {
        Some(last) => Some(last.to_str().unwrap_or_default().to_owned()),
        None => after,
    };
    app.hub.answer(mission, last.as_deref()).await
}

/// Reads what stands in the path and the query string.
fn inputs(
    route: &Route,
    params: Option<&RawPathParams>,
    query: &str,
) -> Result<Map<String, Value>, Problem> {
    let mut fields = Map::new();
    let mut read = |place: Place, name: &str, text: &str| {
        let known = route.inputs.iter().find(|input| input.place == place && input.name == name);
        let input = known.ok_or_else(|| {
            Problem::invalid(format!("there is no parameter {:?}", shortened(name)))
        })?;
        let value = typed(input.kind, text);
        schema::check(input.kind, &value)
            .map_err(|wrong| Problem::invalid(format!("{name}: {wrong}")))?;
        match fields.insert(input.field.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Problem::invalid(format!("{name} is given twice"))),
        }
    };
    for (name, text) in params.into_iter().flatten() {
        read(Place::Path, name, text)?;
    }
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        read(Place::Query, &name, &text)?;
    }
    Ok(fields)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A text of an address as the value that its kind means.
fn typed(kind: &str, text: &str) -> Value {
    let number = matches!(schema::shape(kind), Some(schema::Shape::Range(..)));
    match text {
        "true" | "false" if kind == "flag" => json!(text == "true"),
        _ if number && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        _ => json!(text),
    }
}

async fn body(
    app: &App,
    route: &Route,
    shape: &'static str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Map<String, Value>, Problem> {
    let most = app.alma.config.http.body_bytes;
    let time = Duration::from_secs(app.alma.config.http.request_seconds.into());
    let bytes = match tokio::time::timeout(time, collect(headers, body, most)).await {
        Ok(bytes) => bytes?,
        Err(_) => return Err(Problem::slow(format!("the body did not arrive within {time:?}"))),
    };
    let media = headers.get(header::CONTENT_TYPE).map(|media| media.to_str().unwrap_or_default());
    if bytes.is_empty() && media.is_none() && route.body_may_be_absent() {
        return Ok(Map::new());
    }
    let essence = media.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type("send the body with Content-Type: application/json"));
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))?;
    schema::check(shape, &value).map_err(|wrong| Problem::invalid(format!("body: {wrong}")))?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::invalid("body: expected an object")),
    }
}

/// Reads a body that may have so many bytes.
async fn collect(headers: &HeaderMap, body: Body, most: u64) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(format!("a body may have {most} bytes"));
    let told =
        headers.get(header::CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse().ok());
    if told.is_some_and(|told: u64| told > most) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Problem::malformed(format!("the body broke off: {error}")))?;
        if (all.len() + chunk.len()) as u64 > most {
            return Err(too_large());
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

fn json(status: StatusCode, value: &Value) -> Result<Response<Body>, Problem> {
    let text = serde_json::to_vec(value)
        .map_err(|_| Problem::internal("the answer cannot be written as JSON"))?;
    let mut response = content("application/json", text);
    *response.status_mut() = status;
    Ok(response)
}

fn content(media: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::table::ROUTES;

    fn query(path: &str, query: &str) -> Result<Value, Problem> {
        let route = ROUTES.iter().find(|route| route.path == path).unwrap();
        inputs(route, None, query).map(Value::Object)
    }

    #[test]
    fn a_query_is_typed_and_nothing_else_is_taken() {
        let missions = "/api/v1/missions";
        assert_eq!(
            query(missions, "limit=3&state=done"),
            Ok(json!({ "limit": 3, "state": "done" }))
        );
        assert_eq!(query("/api/v1/approvals", "all=true"), Ok(json!({ "all": true })));
        for bad in
            ["limit=0", "limit=-1", "limit=x", "limit=1&limit=2", "state=x", "q=1", "before=%00"]
        {
            assert!(query(missions, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_step_is_put_together() {
        let mut fields = Map::new();
        fields.insert("mission".to_owned(), json!("m-0"));
        fields.insert("step".to_owned(), json!("3.1"));
        step_of_mission(&mut fields);
        assert_eq!(Value::Object(fields), json!({ "step": "m-0/3.1" }));
    }
}
