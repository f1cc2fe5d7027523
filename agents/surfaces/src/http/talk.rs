//! A turn of a conversation as a stream: what happens while it happens, the answer
//! piece by piece, and its end.

use super::problem::Problem;
use super::stream::Hub;
use alma::Alma;
use alma::conversation::{Happening, Watcher, begin, carry_on, session_for};
use alma::operations::chat_say;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use charter::ids::Principal;
use futures::stream;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Happenings that wait for a reader.
const WAITING: usize = 64;

/// Says something, and answers with the stream of what happens. The turn goes on
/// when the reader hangs up; `…/turns/{turn}/attach` tells how it ended.
pub(super) async fn stream(
    alma: &Alma,
    principal: &Principal,
    hub: Arc<Hub>,
    fields: Map<String, Value>,
) -> Result<Response<Body>, Problem> {
    let request: chat_say::Request = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let seat = hub.seat()?;
    let named = request.session.as_ref();
    let session = session_for(alma, principal, named, &request.workspace, None).await?;
    let turn = begin(alma, principal, &session, &request.words).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let (alma, principal) = (alma.clone(), principal.clone());
    // The words are on record: whoever hangs up has not taken them back.
    tokio::spawn(async move {
        let told = sender.clone();
        if let Err(error) = carry_on(&alma, &principal, &turn, &Watcher::new(sender)).await {
            let text = crate::cli::exit::chain(&error);
            tracing::warn!(error = %text, %turn, "a turn is left open");
            let _gone = told.send(Happening::Failed { turn, text }).await;
        }
    });
    let reading = (receiver, seat, hub.stopping());
    let frames = stream::unfold(reading, |(mut receiver, seat, mut stop)| async move {
        // When this process ends, the turn goes on in the next one.
        let happening = tokio::select! {
            happening = receiver.recv() => happening?,
            () = super::told(&mut stop) => return None,
        };
        Some((Ok::<_, std::convert::Infallible>(frame(&happening)), (receiver, seat, stop)))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A happening as an event: its kind is its name.
fn frame(happening: &Happening) -> Bytes {
    let data = serde_json::to_value(happening).unwrap_or_default();
    let kind = data["event"].as_str().unwrap_or("event");
    format!("event: {kind}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_its_event() {
        let text = "one\n\nevent: complete\ndata: {}\n\n".to_owned();
        let frame = frame(&Happening::Token { text });
        let frame = std::str::from_utf8(&frame).unwrap();
        assert!(frame.starts_with("event: token\ndata: {"), "{frame}");
        assert_eq!(frame.matches("\n\n").count(), 1, "{frame}");
    }
}
