//! Reading, changing and deleting a registration that a record names (RFC 7592).

use super::Inner;
use super::exchange::{DELETE, READ, Told, UNMANAGED, UPDATE};
use super::record::{Of, Record};
use super::vault::Kept;
use super::wire::ClientAnswer;
use crate::domain::difference;
use crate::domain::registration::{ClientId, Credential, Desired, Registered};
use crate::server::{Lane, ServerError};

/// How often something is begun again because another process was faster.
const ATTEMPTS: usize = 3;

/// Another process goes on replacing what this one has read.
const OVERTAKEN: ServerError =
    ServerError::Unrecorded { what: "another operator process deals with this registration: it is looked at again" };

const UNKNOWN: ServerError = ServerError::OutOfReach {
    what: "there is no record of this registration (a Secret of type extapp.dev/registration beside the AuthorizationServer), and the server tells of it only who has its registration access token: what the operator did not make cannot be adopted here, and a record that was lost has to come from a backup",
};

const UNDELETED: ServerError = ServerError::OutOfReach {
    what: "there is no record of this registration, and without one it cannot be deleted: if it still exists at the server, delete it there",
};

const CUT: ServerError = ServerError::OutOfReach {
    what: "an answer was lost that brought another registration access token: the registration works as it is, but only those who run the server can change or delete it. To start afresh, have them delete it, then make a new ExternalApplication",
};

const REVOKED: ServerError = ServerError::OutOfReach {
    what: "the server does not take the registration access token any more, although the registration still works: only those who run the server can change or delete it. To start afresh, have them delete it",
};

/// What became of a question.
enum Found {
    Client(Box<ClientAnswer>),
    Done,
    /// There is no such registration any more.
    Gone,
    /// The record is another by now: begin again.
    Stale,
}

impl Inner {
    pub(super) async fn read(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        let _lock = self.records.lock(id).await;
        for _ in 0..ATTEMPTS {
            let Some(Kept { record, version }) = self.records.load(id).await? else {
                return if self.records.was_deleted(id) { Ok(None) } else { Err(UNKNOWN) };
            };
            if record.access().is_none() || (lane == Lane::Resync && !record.is_readable_at_will()) {
                return Ok(Some(record.registered()));
            }
            // A read that costs a token is noted like an update: its answer must not be lost either.
            if !record.is_readable_at_will() && !self.note(&record, &version).await? {
                continue;
            }
            match self.question(READ, lane, &record, None).await? {
                Found::Client(answer) => return self.absorb(&record, *answer).await.map(|now| Some(now.registered())),
                Found::Gone => return Ok(None),
                Found::Done => return Err(ServerError::Unintelligible { what: "nothing in it" }),
                Found::Stale => {}
            }
        }
        Err(OVERTAKEN)
    }

    /// Notes that a request is about to be sent whose answer may bring another token. `false`: begin again.
    async fn note(&self, record: &Record, version: &str) -> Result<bool, ServerError> {
        self.records.prepare(&record.clone().about_to_change(self.clock.now()), version).await
    }

    /// Takes in what a read tells. It is kept where it matters.
    async fn absorb(&self, record: &Record, answer: ClientAnswer) -> Result<Record, ServerError> {
        let now = record.answered(answer, Of::Read, &self.issuer, self.clock.now());
        if now.is_news(record) {
            self.records.keep(&now).await?;
        }
        self.records.is_there(now.client_id());
        Ok(now)
    }

    pub(super) async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        let _lock = self.records.lock(id).await;
        for _ in 0..ATTEMPTS {
            let Some(Kept { record, .. }) = self.records.load(id).await? else {
                return Err(if self.records.was_deleted(id) { ServerError::NotFound } else { UNKNOWN });
            };
            if record.access().is_none() {
                return Err(UNMANAGED);
            }
            // What others have changed since is sent back to them. Where a read costs a token, what was told last counts.
            let record = if record.is_readable_at_will() {
                match self.question(READ, Lane::User, &record, None).await? {
                    Found::Client(answer) => self.absorb(&record, *answer).await?,
                    Found::Gone => return Err(ServerError::NotFound),
                    Found::Done => return Err(ServerError::Unintelligible { what: "nothing in it" }),
                    Found::Stale => continue,
                }
            } else {
                record
            };
            if !is_due(&record, desired) {
                let marked = record.clone().asked(desired);
                if marked.is_news(&record) {
                    self.records.keep(&marked).await?;
                }
                return Ok(None);
            }
            if let Some(credential) = self.replace(&record, desired).await? {
                return Ok(credential);
            }
        }
        Err(OVERTAKEN)
    }

    /// Sends the update, with a note that it is under way before it. `None`: begin again.
    #[allow(clippy::option_option, reason = "done with or without a new secret, or not done")]
    async fn replace(&self, record: &Record, desired: &Desired) -> Result<Option<Option<Credential>>, ServerError> {
        let Some(Kept { record: kept, version }) = self.records.load(record.client_id()).await? else {
            return Err(UNKNOWN);
        };
        if !kept.same_token(record) {
            return Ok(None);
        }
        let rotates = record.habits().updates_rotate != Some(false);
        if rotates && !self.note(record, &version).await? {
            return Ok(None);
        }
        let body = record.metadata().update_body(record.client_id(), desired);
        // Not the noted record: this very update is not one whose answer was lost before.
        match self.question(UPDATE, Lane::User, record, Some(&body)).await {
            Ok(Found::Client(answer)) => {
                let next = record.answered(*answer, Of::Update, &self.issuer, self.clock.now()).asked(desired);
                self.records.keep(&next).await?;
                Ok(Some(
                    (!desired.secretless && next.has_other_secret(record)).then(|| next.credential(true)).flatten(),
                ))
            }
            Ok(Found::Stale) => Ok(None),
            Ok(Found::Gone) => {
                self.records.keep(record).await?;
                Err(ServerError::NotFound)
            }
            Ok(Found::Done) => Err(ServerError::Unintelligible { what: "nothing in it" }),
            Err(error) => {
                // What was refused for certain has changed nothing: the note goes, and whatever was noted before stays.
                if rotates && error.is_definite() {
                    self.records.keep(record).await?;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        let _lock = self.records.lock(id).await;
        for _ in 0..ATTEMPTS {
            let Some(Kept { record, .. }) = self.records.load(id).await? else {
                return if self.records.was_deleted(id) { Ok(()) } else { Err(UNDELETED) };
            };
            match self.question(DELETE, Lane::User, &record, None).await {
                Ok(Found::Done | Found::Gone | Found::Client(_)) => return self.records.forget(id).await,
                Ok(Found::Stale) => {}
                Err(error @ (ServerError::Unsupported { .. } | ServerError::OutOfReach { .. })) => {
                    // Nothing will ever be done with it: whoever asks has no use for the record any more.
                    self.records.abandon(id).await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(OVERTAKEN)
    }

    /// Asks about a registration, and finds out what it means that its token is refused.
    async fn question(
        &self,
        operation: crate::server::json_api::Operation,
        lane: Lane,
        record: &Record,
        body: Option<&serde_json::Value>,
    ) -> Result<Found, ServerError> {
        match self.ask(operation, lane, record, body).await? {
            Told::Client(answer) => Ok(Found::Client(answer)),
            Told::Done => Ok(Found::Done),
            Told::NotFor => {
                // Another process may have been given another token since this one read the record.
                let Some(Kept { record: now, .. }) = self.records.load(record.client_id()).await? else {
                    return Err(UNKNOWN);
                };
                if !now.same_token(record) {
                    return Ok(Found::Stale);
                }
                if record.is_updating() {
                    return Err(CUT);
                }
                // A server answers alike for a registration that is gone and for a token that it does not take any more. One
                // with a secret proves that it is there; what has none counts as gone.
                if let Some(secret) = record.secret()
                    && self.authenticates(record.client_id(), secret).await?
                {
                    return Err(REVOKED);
                }
                self.records.is_gone(record);
                Ok(Found::Gone)
            }
        }
    }
}

/// Whether an update has anything to do.
fn is_due(record: &Record, desired: &Desired) -> bool {
    let actual = record.registered();
    let differs = !difference::observed(desired, &actual).is_empty();
    let ends = actual.secrets.iter().any(|secret| secret.expires_at.is_some());
    differs || (ends && record.habits().updates_renew != Some(false))
}
