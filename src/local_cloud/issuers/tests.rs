use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What an issuer answers, by path, and which paths it was asked for.
#[derive(Default)]
struct Answers {
    given: HashMap<&'static str, (u16, String)>,
    asked: Vec<String>,
}

/// An issuer on loopback, which ends with the runtime of its test.
struct Issuer {
    uri: String,
    answers: Arc<Mutex<Answers>>,
}

impl Issuer {
    /// One with these keys.
    async fn with(ids: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::<Mutex<Answers>>::default();
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&answers));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let issuer = Self { uri, answers };
        issuer.discovered(&json!({ "issuer": issuer.uri, "jwks_uri": issuer.keys_uri() }));
        issuer.publish(ids);
        issuer
    }

    fn keys_uri(&self) -> String {
        format!("{}/keys", self.uri)
    }

    fn discovered(&self, document: &Value) {
        self.answers(DISCOVERY, 200, &document.to_string());
    }

    fn publish(&self, ids: &[&str]) {
        let key = |id: &&str| json!({ "kty": "RSA", "kid": id, "n": "AQAB", "e": "AQAB" });
        let keys: Vec<_> = ids.iter().map(key).collect();
        self.answers("/keys", 200, &json!({ "keys": keys }).to_string());
    }

    fn answers(&self, path: &'static str, status: u16, body: &str) {
        self.answers.lock().unwrap().given.insert(path, (status, body.to_owned()));
    }

    /// How often it was looked at.
    fn looks(&self) -> usize {
        self.answers.lock().unwrap().asked.iter().filter(|path| *path == DISCOVERY).count()
    }
}

async fn answer(State(answers): State<Arc<Mutex<Answers>>>, uri: Uri) -> Response {
    let mut answers = answers.lock().unwrap();
    answers.asked.push(uri.path().to_owned());
    let Some((status, body)) = answers.given.get(uri.path()).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Whoever follows a redirect finds the keys.
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, "/keys")], body).into_response()
}

fn issuers() -> Issuers {
    Issuers::new(&[]).unwrap()
}

#[tokio::test]
async fn keys_are_remembered_until_they_are_out_of_date() {
    let (issuer, issuers) = (Issuer::with(&["one"]).await, issuers());
    for now in [0, 1, LIFETIME - 1] {
        assert!(issuers.key(&issuer.uri, "one", now).await.is_ok());
    }
    assert_eq!(issuer.looks(), 1);
    issuer.publish(&["two"]);
    assert_eq!(issuers.key(&issuer.uri, "one", LIFETIME).await.err(), Some(Unusable::NoSuchKey));
    assert_eq!(issuer.looks(), 2);
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_but_not_as_often_as_a_stranger_likes() {
    let (issuer, issuers) = (Issuer::with(&["one"]).await, issuers());
    issuers.check(&issuer.uri, 0).await.unwrap();
    issuer.publish(&["one", "two"]);
    for now in 0..5 {
        assert_eq!(issuers.key(&issuer.uri, "two", now).await.err(), Some(Unusable::NoSuchKey));
    }
    assert_eq!(issuer.looks(), 1);
    assert!(issuers.key(&issuer.uri, "two", SPACING).await.is_ok());
    assert!(issuers.key(&issuer.uri, "one", SPACING).await.is_ok());
    assert_eq!(issuer.looks(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_takes_no_remembered_key_away() {
    let (issuer, issuers) = (Issuer::with(&["one"]).await, issuers());
    issuers.check(&issuer.uri, 0).await.unwrap();
    issuer.answers(DISCOVERY, 503, "");
    assert_eq!(issuers.key(&issuer.uri, "two", SPACING).await.err(), Some(Unusable::Discovery));
    assert_eq!(issuers.check(&issuer.uri, SPACING).await, Err(Unusable::Discovery));
    assert!(issuers.key(&issuer.uri, "one", SPACING).await.is_ok());
}

#[tokio::test]
async fn those_who_come_at_the_same_time_share_one_look() {
    let (issuer, issuers) = (Issuer::with(&["one"]).await, issuers());
    let all = futures::future::join_all((0..20).map(|_| issuers.key(&issuer.uri, "one", 0))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(issuer.looks(), 1);
}

#[tokio::test]
async fn an_issuer_says_who_it_is_and_where_its_keys_are_and_sends_nobody_elsewhere() {
    let issuer = Issuer::with(&["one"]).await;
    assert_eq!(issuers().check(&issuer.uri, 0).await, Ok(()));
    assert_eq!(issuers().check(&format!("{}/", issuer.uri), 0).await, Err(Unusable::OtherIssuer));
    let at = |keys: &str| json!({ "issuer": issuer.uri, "jwks_uri": keys });
    for (document, unusable) in [
        (json!({ "issuer": "https://other.example", "jwks_uri": issuer.keys_uri() }), Unusable::OtherIssuer),
        (json!({ "issuer": issuer.uri }), Unusable::DiscoveryUnreadable),
        (at("http://issuer.example/keys"), Unusable::KeysNotHttps),
        (at("file:///keys"), Unusable::KeysNotHttps),
        (at(&format!("{}/none", issuer.uri)), Unusable::Keys),
    ] {
        issuer.discovered(&document);
        assert_eq!(issuers().check(&issuer.uri, 0).await, Err(unusable), "{document}");
    }
    for (path, unusable) in [(DISCOVERY, Unusable::Discovery), ("/keys", Unusable::Keys)] {
        let issuer = Issuer::with(&["one"]).await;
        for (status, body) in [(302, String::new()), (404, String::new()), (200, "x".repeat(300 * 1024))] {
            issuer.answers(path, status, &body);
            assert_eq!(issuers().check(&issuer.uri, 0).await, Err(unusable), "{path}: {status}");
        }
    }
}

#[tokio::test]
async fn keys_that_sign_nothing_with_rs256_are_none() {
    let issuer = Issuer::with(&[]).await;
    assert_eq!(issuers().check(&issuer.uri, 0).await, Err(Unusable::NoRsaKey));
    issuer.answers("/keys", 200, "no keys");
    assert_eq!(issuers().check(&issuer.uri, 0).await, Err(Unusable::KeysUnreadable));
}

#[tokio::test]
async fn an_issuer_that_nobody_answers_for_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(issuers().check(&format!("http://{address}"), 0).await, Err(Unusable::Discovery));
}

#[test]
fn issuers_fill_no_memory_and_the_one_looked_at_longest_ago_goes_first() {
    let never = || futures::future::pending().boxed().shared();
    let known = |looked| Known { looked, look: never(), keys: None };
    let mut all = HashMap::new();
    for index in 0..MOST_ISSUERS {
        let looked = i64::try_from(index).unwrap();
        insert(&mut all, &index.to_string(), known(looked), looked);
    }
    insert(&mut all, "new", known(200), 200);
    assert_eq!(all.len(), MOST_ISSUERS);
    assert!(!all.contains_key("0") && all.contains_key("1") && all.contains_key("new"));
    insert(&mut all, "much later", known(LIFETIME + 50), LIFETIME + 50);
    assert!(!all.contains_key("50") && all.contains_key("51"));
}
