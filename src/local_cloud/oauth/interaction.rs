//! What the pages have in common: a request that waits for the very browser that asks.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::authorize::known;
use super::browser::Browser;
use super::form::Form;
use super::redirect;
use super::request::Details;
use crate::local_cloud::cloud::Cloud;
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::pages::Message;
use crate::local_cloud::secrets::SecretHash;
use crate::local_cloud::store::applications::{self, Application};
use crate::local_cloud::store::sign_in::{self, Session};

/// An authorization request in the hands of its browser.
pub struct Interaction {
    pub browser: Browser,
    /// Who is signed in, unless that is not enough for this request.
    pub session: Option<Session>,
    /// The request as the address and the forms name it.
    pub request: String,
    pub application: Application,
    pub details: Details,
}

impl Interaction {
    /// What a form about this request must bring along.
    pub fn form_token(&self) -> String {
        self.browser.form_token(&self.request)
    }

    /// What the request is stored under.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of_text(&self.request)
    }
}

/// Why a page is not what was expected.
pub enum Stopped {
    /// The request is unknown, answered, expired or another browser's.
    Gone,
    /// The form is not from a page of ours.
    Foreign,
    Internal(ApiError),
}

impl<E: Into<ApiError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl Stopped {
    pub fn page(self, cloud: &Cloud) -> Response {
        let (status, title, text) = match self {
            Self::Gone => (
                StatusCode::BAD_REQUEST,
                "This request is over",
                "It has expired, has been answered, or was begun in another browser. Go back to the application and \
                 start again.",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "This form was not sent from here",
                "Nothing has been changed. Go back to the application and start again.",
            ),
            Self::Internal(error) => return error.into_response(),
        };
        Message { title, text, code: None }.page(&cloud.organization.name, status)
    }
}

/// The request that an address names.
pub async fn open(cloud: &Arc<Cloud>, headers: &HeaderMap, request: Option<&str>) -> Result<Interaction, Stopped> {
    let request = request.ok_or(Stopped::Gone)?.to_owned();
    let (browser, session) = known(cloud, headers).await?;
    let browser = browser.ok_or(Stopped::Gone)?;
    let (hash, owner) = (SecretHash::of_text(&request), browser.hash.clone());
    let now = cloud.clock.now_milliseconds();
    let found = cloud.store.read(move |store| {
        let Some(pending) = sign_in::pending(store, &hash, &owner, now)? else { return Ok(None) };
        Ok(applications::find(store, &pending.client)?.map(|application| (pending, application)))
    });
    let (pending, application) = found.await?.ok_or(Stopped::Gone)?;
    let details: Details = serde_json::from_str(&pending.details).map_err(|_| Stopped::Gone)?;
    let registered = application.registration.redirect_uri.as_deref();
    if !redirect::is_registered(&details.redirect_uri, registered, application.confidential) {
        // It was taken away in the meantime.
        return Err(Stopped::Gone);
    }
    let session = session.filter(|_| !pending.must_sign_in);
    Ok(Interaction { browser, session, request, application, details })
}

/// The request that a form is about, and the form.
pub async fn receive(cloud: &Arc<Cloud>, headers: &HeaderMap, body: &Bytes) -> Result<(Interaction, Form), Stopped> {
    let form = Some(Form::is_announced(headers)).filter(|announced| *announced).and_then(|_| Form::read(body).ok());
    let form = form.ok_or(Stopped::Foreign)?;
    let interaction = open(cloud, headers, form.get("request")).await?;
    if !interaction.browser.sent(headers, &interaction.request, form.get("csrf")) {
        return Err(Stopped::Foreign);
    }
    Ok((interaction, form))
}
