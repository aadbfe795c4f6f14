//! Answers that are not of this API, and what errors must not tell.

use std::io;

use extapp::server::http::{ClientError, UrlRefused};
use extapp::server::uipath::ConfigError;
use extapp::server::{AuthorizationServer, Lane, ServerError};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::ResponseTemplate;

use super::*;

#[tokio::test]
async fn a_page_in_html_is_neither_an_answer_nor_an_absence() {
    for status in [200, 404] {
        let cloud = Cloud::start().await;
        cloud.always(ResponseTemplate::new(status).set_body_raw("<!DOCTYPE html><p>Sign in", "text/html")).await;
        let (client, html) = (cloud.client(), ServerError::Unintelligible { what: "HTML" });
        assert_eq!(client.get(&id(), Lane::User).await.unwrap_err(), html);
        assert_eq!(client.list(Lane::User).await.unwrap_err(), html);
        assert_eq!(client.delete(&id()).await.unwrap_err(), html);
        assert_eq!(client.update(&id(), &desired()).await.unwrap_err(), html);
    }
}

#[tokio::test]
async fn an_answer_of_ten_megabytes_is_refused_and_one_of_seven_is_not() {
    for (bytes, accepted) in [(10_000_000, false), (7_000_000, true)] {
        let cloud = Cloud::start().await;
        let body = json!([{"id": ID, "name": "x".repeat(bytes), "isConfidential": true}]);
        cloud.on("GET", &list_path(), ResponseTemplate::new(200).set_body_json(body)).await;
        assert_eq!(cloud.client().list(Lane::User).await.is_ok(), accepted);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (cloud, elsewhere) = (Cloud::start().await, Cloud::start().await);
    cloud.always(ResponseTemplate::new(302).insert_header("location", elsewhere.server.uri())).await;
    let error = cloud.client().list(Lane::User).await.unwrap_err();
    assert_eq!(error, ServerError::Unintelligible { what: "a redirect" });
    assert!(elsewhere.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_is_quoted_in_the_servers_own_words() {
    let cloud = Cloud::start().await;
    let body = json!({"message": "Not all scopes=OR.Nope are present in database"});
    cloud.always(ResponseTemplate::new(400).set_body_json(body)).await;
    let error = cloud.client().create(&desired()).await.unwrap_err();
    assert!(error.to_string().contains("Not all scopes=OR.Nope are present"), "{error}");
    assert!(error.is_definite());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_in_an_error_or_a_log_even_if_the_server_repeats_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let token = token_body(3600)["access_token"].as_str().unwrap().to_owned();
    let mut told = Vec::new();
    for body in [
        json!({"message": format!("{SECRET} and {token}")}),
        json!({"error": SECRET, "error_description": token}),
        json!({"errors": {SECRET: [token]}}),
        json!({"error": {"code": token, "message": SECRET, "details": token}}),
        json!(token),
    ] {
        let cloud = Cloud::start().await;
        cloud.always(ResponseTemplate::new(400).set_body_json(body.clone())).await;
        let client = cloud.client();
        let error = client.create(&desired()).await.unwrap_err();
        told.push(format!("{client:?} {error} {error:?}"));
        let refusing = Cloud::without_tokens().await;
        refusing.on("POST", TOKEN, ResponseTemplate::new(400).set_body_json(body)).await;
        let error = refusing.client().list(Lane::User).await.unwrap_err();
        told.push(format!("{error} {error:?}"));
    }
    drop(logging);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("/connect/token"), "something was logged");
    for secret in [SECRET, &token, "Canary", "canary-signature"] {
        assert!(told.iter().all(|text| !text.contains(secret)), "{told:?}");
        assert!(!logged.contains(secret), "a log line carries a secret");
    }
}

#[tokio::test]
async fn a_configuration_that_would_send_secrets_in_the_clear_is_refused() {
    let cloud = Cloud::start().await;
    let with = |change: fn(&mut Config)| {
        let mut config = cloud.config();
        change(&mut config);
        Uipath::new(config).err()
    };
    assert_eq!(with(|c| c.url = "http://cloud.example".parse().unwrap()), Some(UrlRefused::Insecure.into()));
    assert_eq!(with(|c| c.url = "https://a:b@cloud.example".parse().unwrap()), Some(UrlRefused::UserInfo.into()));
    assert_eq!(with(|c| c.organization = String::new()), Some(ConfigError::Address));
    assert_eq!(with(|c| c.transport.ca_pem = Some(Vec::new())), Some(ClientError::NoCertificate.into()));
    let garbage =
        with(|c| c.transport.ca_pem = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()));
    assert!(matches!(garbage, Some(ConfigError::Client(_))), "{garbage:?}");
    let listed = |c: &mut Config| {
        c.url = "http://cloud.example".parse().unwrap();
        c.transport.insecure_hosts = vec!["cloud.example".into()];
    };
    assert_eq!(with(listed), None);
}
