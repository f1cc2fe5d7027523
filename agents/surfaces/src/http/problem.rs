//! Every error over HTTP: one document of RFC 9457 (`application/problem+json`).

use crate::cli::exit::chain;
use alma::Error;
use alma::error::Refusal;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use charter::ports::LedgerError;
use charter::tool::ErrorCode;
use serde_json::json;

/// Seconds after which it is worth trying again when a bound was reached.
const RETRY_SECONDS: u32 = 1;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    refusal: Option<Refusal>,
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub(super) fn $name(detail: impl Into<String>) -> Self {
                Self {
                    status: StatusCode::$status,
                    code: $code,
                    title: $title,
                    detail: detail.into(),
                    refusal: None,
                }
            })*
        }
    };
}

problems! {
    /// It cannot be read at all.
    malformed = BAD_REQUEST, "malformed_request", "The request cannot be read";
    /// No key, or a wrong one.
    unauthorized = UNAUTHORIZED, "unauthorized", "A key is needed";
    /// It names a host that is not this one.
    host = FORBIDDEN, "host_not_allowed", "This host is not served here";
    /// It comes from a page of another site.
    origin = FORBIDDEN, "origin_not_allowed", "This origin may not ask";
    /// What it names is not there.
    not_found = NOT_FOUND, "not_found", "Not found";
    /// The place is there, the method is not.
    method = METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not possible here";
    /// It took too long to arrive.
    slow = REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive";
    /// It does not fit how things stand.
    conflict = CONFLICT, "conflict", "This does not fit how things stand";
    /// Its body is too large.
    too_large = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// Its body is no JSON by its own word.
    media_type = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be JSON";
    /// It can be read and is wrong.
    invalid = UNPROCESSABLE_ENTITY, "invalid_request", "The request is wrong";
    /// Its key belongs to another request.
    key_reused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The key was used before";
    /// The wish cannot be planned, or policy denies it.
    refused = UNPROCESSABLE_ENTITY, "refused", "This cannot be done here";
    /// Something of ours is broken.
    internal = INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here";
    /// A bound is reached, or the ledger cannot be reached.
    unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment";
    /// The answer took too long.
    timeout = GATEWAY_TIMEOUT, "timeout", "The answer took too long";
    /// The disk is full.
    full = INSUFFICIENT_STORAGE, "disk_full", "The disk is full";
}

impl Problem {
    /// The document.
    pub(super) fn document(&self, instance: &str) -> serde_json::Value {
        let mut document = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "error_code": self.code,
            "timestamp": jiff::Timestamp::now().to_string(),
            "instance": instance,
        });
        if let Some(refusal) = &self.refusal {
            document["missing"] = json!(refusal.missing);
            document["nearest"] = json!(refusal.nearest);
        }
        document
    }

    /// The response.
    pub(super) fn response(&self, instance: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(self.document(instance).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_SECONDS.into());
            }
            StatusCode::UNAUTHORIZED => {
                let ask = HeaderValue::from_static("Bearer realm=\"alma\"");
                headers.insert(header::WWW_AUTHENTICATE, ask);
            }
            _ => {}
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = chain(&error);
        match error {
            Error::Usage(_) => Self::invalid(detail),
            Error::NotFound(_) => Self::not_found(detail),
            Error::Refused(refusal) => Self { refusal: Some(refusal), ..Self::refused(detail) },
            Error::Conflict(_) => Self::conflict(detail),
            Error::KeyReused(_) => Self::key_reused(detail),
            Error::Ledger { source: LedgerError::DiskFull(_), .. } => Self::full(detail),
            Error::Ledger { source: LedgerError::Store { .. }, .. } => Self::unavailable(detail),
            Error::Ledger { .. } => Self::internal(detail),
            Error::Tool { source, .. } => match source.code {
                ErrorCode::DiskFull => Self::full(detail),
                ErrorCode::Transient => Self::unavailable(detail),
                _ => Self::invalid(detail),
            },
            Error::Machine { .. } => Self::internal(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(error: Error, expected: Expect) {
        let mut document = Problem::from(error).document("/x");
        document["timestamp"] = json!("T");
        expected.assert_eq(&document.to_string());
    }

    #[test]
    fn a_refusal_says_what_is_missing_and_what_is_near() {
        let refusal = Refusal {
            message: "no".to_owned(),
            missing: vec!["fly".to_owned()],
            nearest: vec!["walk".to_owned()],
        };
        check(
            Error::Refused(refusal),
            expect![[
                r#"{"type":"about:blank","title":"This cannot be done here","status":422,"detail":"no","error_code":"refused","timestamp":"T","instance":"/x","missing":["fly"],"nearest":["walk"]}"#
            ]],
        );
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_ledger() {
        let error = |source| Error::Ledger { operation: "use the ledger", source };
        let status = |source| Problem::from(error(source)).status.as_u16();
        assert_eq!(status(LedgerError::DiskFull("x".to_owned())), 507);
        assert_eq!(status(LedgerError::Damaged("x".to_owned())), 500);
        let store = LedgerError::Store { operation: "x".to_owned(), cause: "y".to_owned() };
        assert_eq!(status(store), 503);
    }
}
