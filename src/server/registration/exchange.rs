//! One request about a registration, and what its answer says: of the registration, and of the token it was sent with.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Inner;
use super::record::Record;
use super::wire::ClientAnswer;
use crate::server::budget::Class;
use crate::server::http::Answer;
use crate::server::json_api::{Call, Operation, bearer, json, text};
use crate::server::words::{is_html, oauth_error};
use crate::server::{Lane, ServerError, ServerText};

const NEEDED: &str = "the right to manage this registration: the server decides that by its policies";

pub(super) const READ: Operation = Operation::read("read", "/client", NEEDED);
pub(super) const UPDATE: Operation = Operation::write("update", Class::Put, "/client", NEEDED);
pub(super) const DELETE: Operation = Operation::write("delete", Class::Delete, "/client", NEEDED);

/// What an answer says.
pub(super) enum Told {
    /// What the registration is.
    Client(Box<ClientAnswer>),
    /// It was done, and nothing more is said.
    Done,
    /// There is no registration that this token is for: it is gone (RFC 7592 section 2.1), or the token is another by now.
    NotFor,
}

/// A token as a header.
pub(super) fn header(token: &SecretString) -> Option<HeaderValue> {
    bearer(token.expose_secret())
}

impl Inner {
    /// Sends a request with the registration's own token, once: the answer may end the token.
    pub(super) async fn ask(
        &self,
        operation: Operation,
        lane: Lane,
        record: &Record,
        body: Option<&Value>,
    ) -> Result<Told, ServerError> {
        let (uri, token) = record.access().ok_or(UNMANAGED)?;
        if uri.origin() != self.issuer.origin() {
            let text = "this registration is at another server than spec.registration.issuer names now: correct it there, or make another AuthorizationServer";
            return Err(ServerError::Rejected { text: ServerText::ours(text) });
        }
        let call = match body {
            Some(body) => Call::json(uri.clone(), body)?,
            None => Call::to(uri.clone()),
        };
        let answer = self.api.exchange_once(operation, lane, call.bearing(header(token))).await?;
        let told = understood(operation, &answer, token.expose_secret())?;
        match &told {
            Told::Client(client) if client.client_id != *record.client_id() => {
                Err(ServerError::Unintelligible { what: "another registration than the one asked for" })
            }
            _ => Ok(told),
        }
    }
}

/// What is said where a registration came without what RFC 7592 manages it with.
pub(super) const UNMANAGED: ServerError = ServerError::Unsupported {
    what: "this server only makes registrations (RFC 7591) and does not let them be changed or deleted (RFC 7592): have those who run it change or delete the registration there",
};

fn understood(operation: Operation, answer: &Answer, token: &str) -> Result<Told, ServerError> {
    match answer.status {
        200..=299 if operation.class == Class::Delete && !is_html(answer) => return Ok(Told::Done),
        // Whatever stands between may answer 401 and 404 too, and what is taken for gone is made again.
        401 | 404 if oauth_error(answer).is_some() => return Ok(Told::NotFor),
        401 | 404 => return Err(ServerError::Unintelligible { what: "a refusal that is not the server's own" }),
        // Of an update it is the values that are refused: a policy of the server's.
        403 if operation.class == Class::Put && oauth_error(answer).is_some() => {
            return Err(ServerError::Rejected { text: text(answer, &[token]) });
        }
        405 | 501 => return Err(UNMANAGED),
        _ => {}
    }
    operation.check(answer, &[token])?;
    ClientAnswer::read(json(answer)?).map(|client| Told::Client(Box::new(client)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            content_type: Some("application/json".into()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            retry_after: None,
            link: None,
        }
    }

    #[test]
    fn only_the_servers_own_refusal_of_a_token_is_believed() {
        let refused = r#"{"error":"invalid_token"}"#;
        for operation in [READ, UPDATE, DELETE] {
            for status in [401, 404] {
                assert!(
                    matches!(understood(operation, &answer(status, refused), "t0ken"), Ok(Told::NotFor)),
                    "{status}"
                );
                for foreign in ["", "<html>log in</html>", "no", "{}"] {
                    let error = understood(operation, &answer(status, foreign), "t0ken").err();
                    assert!(matches!(error, Some(ServerError::Unintelligible { .. })), "{status} {foreign}");
                }
            }
        }
    }

    #[test]
    fn a_policy_refuses_values_in_the_servers_words_and_without_the_token() {
        let body = r#"{"error":"insufficient_scope","error_description":"t0ken may not have write"}"#;
        let error = understood(UPDATE, &answer(403, body), "t0ken").err().expect("refused");
        assert_eq!(error.to_string(), "the server refused the request: insufficient_scope: *** may not have write");
        assert!(matches!(understood(READ, &answer(403, body), "t0ken"), Err(ServerError::Forbidden { .. })));
    }

    #[test]
    fn a_server_that_does_not_offer_management_says_so_with_405() {
        for operation in [READ, UPDATE, DELETE] {
            assert_eq!(understood(operation, &answer(405, ""), "t").err(), Some(UNMANAGED));
        }
    }

    #[test]
    fn an_answer_of_another_kind_is_no_answer() {
        for (status, body) in [(200, "<html></html>"), (200, "{}"), (200, ""), (302, ""), (204, "")] {
            let error = understood(READ, &answer(status, body), "t").err().expect("no answer");
            assert!(matches!(error, ServerError::Unintelligible { .. }), "{status} {body}");
        }
        assert_eq!(understood(READ, &answer(503, ""), "t").err(), Some(ServerError::Failed { status: 503 }));
        assert!(matches!(understood(DELETE, &answer(204, ""), "t"), Ok(Told::Done)));
    }
}
