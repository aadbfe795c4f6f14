//! What this process remembers of its own credentials at one server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::ExposeSecret as _;

use super::Connection;
use crate::api::{ROTATED, ROTATING};
use crate::domain::observed::Finding;
use crate::domain::own_credential::report::Answer;
use crate::domain::own_credential::{CURRENT, Claim, Held, PREVIOUS, Record};
use crate::domain::registration::{ClientSecret, SecretInfo};
use crate::domain::rotation::kept::Seal;
use crate::server::{AuthorizationServer as _, sealed_with};

/// How long credentials that the server refused are not tried again, while others work.
const REFUSED: Duration = Duration::from_secs(30);

/// The Secret that `credentialsRef` names, as a pass read it.
pub struct CredentialsSecret {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub immutable: bool,
    current: Option<ClientSecret>,
    previous: Option<ClientSecret>,
    claim: Option<Claim>,
    record: Option<Record>,
}

impl CredentialsSecret {
    pub fn of(secret: &Secret) -> Self {
        let data = crate::controller::kubernetes::text_of(secret.data.clone().unwrap_or_default());
        // As it is used: without white space around it.
        let value = |key: &str| data.get(key).map(|value| ClientSecret::new(value.expose_secret().trim()));
        let annotation = |key: &str| secret.annotations().get(key);
        Self {
            name: secret.name_any(),
            uid: secret.uid().unwrap_or_default(),
            resource_version: secret.resource_version().unwrap_or_default(),
            immutable: secret.immutable == Some(true),
            current: value(CURRENT),
            previous: value(PREVIOUS),
            claim: annotation(ROTATING).and_then(|text| serde_json::from_str(text).ok()),
            record: annotation(ROTATED).and_then(|text| serde_json::from_str(text).ok()),
        }
    }

    pub fn has_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether this is the value that it holds.
    pub fn holds(&self, secret: &ClientSecret) -> bool {
        self.current.as_ref().is_some_and(|current| current.expose() == secret.expose())
    }

    /// The value that it holds.
    pub fn current(&self) -> Option<&ClientSecret> {
        self.current.as_ref()
    }

    /// A proof that a text was written while the Secret held its value of now.
    pub fn seal(&self, text: &str) -> String {
        self.current.as_ref().map(|current| sealed_with(current, text)).unwrap_or_default()
    }

    fn fits(&self, text: &str, seal: &str) -> bool {
        !seal.is_empty() && self.seal(text) == seal
    }

    /// What is under way, and whether the Secret still holds what it held when that began.
    pub fn claim(&self, uid: &str) -> Option<(&Claim, bool)> {
        self.claim.as_ref().map(|claim| (claim, self.fits(&claim.sealed_text(uid), &claim.seal)))
    }

    /// What the operator put here last, and whether it is still what the Secret holds.
    pub fn record(&self, uid: &str) -> Option<(&Record, bool)> {
        self.record.as_ref().map(|record| (record, self.fits(&record.sealed_text(uid), &record.seal)))
    }
}

/// A new secret that the Secret does not hold yet.
pub struct Obtained {
    pub value: Arc<ClientSecret>,
    pub held: Held,
}

/// What was said of a request.
#[derive(Clone)]
pub struct Answered {
    pub request: String,
    pub answer: Answer,
}

#[derive(Default)]
struct State {
    secret: Option<Arc<CredentialsSecret>>,
    certificates: Option<String>,
    listed: Option<Arc<Vec<SecretInfo>>>,
    obtained: Option<Obtained>,
    answered: Option<Answered>,
    refused: Option<(String, Timestamp, Finding)>,
    former: Option<Arc<Connection>>,
    warned: Option<String>,
}

/// See the module.
#[derive(Default)]
pub struct Own(Mutex<State>);

impl Own {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the Secret that a pass has read.
    pub fn read(&self, secret: Option<CredentialsSecret>) {
        let mut state = self.state();
        state.secret = secret.map(Arc::new);
        let published = state.obtained.as_ref().zip(state.secret.as_ref());
        if published.is_some_and(|(obtained, secret)| secret.holds(&obtained.value)) {
            state.obtained = None;
        }
    }

    pub fn secret(&self) -> Option<Arc<CredentialsSecret>> {
        self.state().secret.clone()
    }

    /// Remembers the version of the ConfigMap with certificates.
    pub fn read_certificates(&self, version: Option<String>) {
        self.state().certificates = version;
    }

    /// Whether a pass has read this version of the Secret, or of the ConfigMap.
    pub fn has_read(&self, version: &str) -> bool {
        let state = self.state();
        let secret = state.secret.as_ref().map(|secret| secret.resource_version.as_str());
        secret == Some(version) || state.certificates.as_deref() == Some(version)
    }

    /// What the server lists of the operator's own registration.
    pub fn listed(&self) -> Option<Arc<Vec<SecretInfo>>> {
        self.state().listed.clone()
    }

    pub fn lists(&self, secrets: Arc<Vec<SecretInfo>>) {
        self.state().listed = Some(secrets);
    }

    /// The new secret that the Secret does not hold yet.
    pub fn held(&self) -> Option<(Arc<ClientSecret>, Held)> {
        self.state().obtained.as_ref().map(|obtained| (obtained.value.clone(), obtained.held.clone()))
    }

    pub fn hold(&self, obtained: Obtained) {
        self.state().obtained = Some(obtained);
    }

    /// Notes what the token endpoint says of it.
    pub fn tried(&self, proven: bool, at: Timestamp) {
        if let Some(obtained) = &mut self.state().obtained {
            obtained.held.proven = proven;
            obtained.held.tried = Some(at);
        }
    }

    pub fn let_go(&self) {
        self.state().obtained = None;
    }

    /// The answer that this process gave last: the cache may be older.
    pub fn answered(&self) -> Option<Answered> {
        self.state().answered.clone()
    }

    /// Gives back whether it is news.
    pub fn answer(&self, answered: Answered) -> bool {
        let mut state = self.state();
        let same = |known: &Answered| known.request == answered.request && known.answer == answered.answer;
        let news = !state.answered.as_ref().is_some_and(same);
        state.answered = Some(answered);
        news
    }

    /// Remembers what is warned of; gives back whether it is news.
    pub fn warns(&self, warning: Option<&String>) -> bool {
        let mut state = self.state();
        let news = warning.is_some() && state.warned.as_ref() != warning;
        state.warned = warning.cloned();
        news
    }

    /// Notes that the server refuses these credentials, while others still work.
    pub fn refuse(&self, fingerprint: &str, now: Timestamp, finding: Finding) {
        self.state().refused = Some((fingerprint.to_owned(), now, finding));
    }

    /// Whether these credentials were refused a moment ago. Others are not.
    pub fn was_refused(&self, fingerprint: &str, now: Timestamp) -> bool {
        let mut state = self.state();
        state.refused.take_if(|(refused, ..)| refused != fingerprint);
        let pause = SignedDuration::try_from(REFUSED).unwrap_or(SignedDuration::ZERO);
        state.refused.as_ref().is_some_and(|(_, at, _)| now.duration_since(*at) < pause)
    }

    /// What the Secret holds is accepted.
    pub fn accept(&self) {
        self.state().refused = None;
    }

    /// That what the Secret holds is refused, and what was known before goes on being used.
    pub fn caution(&self) -> Option<Finding> {
        self.state().refused.as_ref().map(|(_, _, finding)| finding.clone())
    }

    /// Remembers a connection that another one has replaced: what was sealed with it is still recognised.
    pub fn replaced(&self, connection: Arc<Connection>) {
        self.state().former = Some(connection);
    }

    /// Which credentials a seal was made with. `now`: the seal that those of now make.
    pub fn judge(&self, now: &str, text: &str, seal: &str) -> Seal {
        match seal {
            _ if seal == now => Seal::Current,
            _ if self.recognises(text, seal) => Seal::Former,
            _ => Seal::Foreign,
        }
    }

    /// Whether a seal was made with credentials before those of now.
    fn recognises(&self, text: &str, seal: &str) -> bool {
        let (former, secret) = {
            let state = self.state();
            (state.former.clone(), state.secret.clone())
        };
        let previous = secret.as_ref().and_then(|secret| secret.previous.as_ref());
        previous.is_some_and(|previous| sealed_with(previous, text) == seal)
            || former.is_some_and(|former| former.client.seal(text).as_deref() == Some(seal))
    }
}
