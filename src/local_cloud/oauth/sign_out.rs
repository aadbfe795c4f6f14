//! Signing out, for people and for applications that send them here (OpenID Connect RP-Initiated Logout). Nobody is
//! sent back: registrations know no address for that, and an unregistered one would be anybody's.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::authorize::known;
use super::form::Form;
use super::interaction::Stopped;
use crate::local_cloud::cloud::Cloud;
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::pages::{Message, SignOut};
use crate::local_cloud::store::sign_in;

/// What the form of the page is about.
const SUBJECT: &str = "sign-out";

/// `GET /connect/endsession`: asks, so that no other site can sign anybody out.
pub async fn show(State(cloud): State<Arc<Cloud>>, headers: HeaderMap) -> Response {
    match known(&cloud, &headers).await {
        Ok((Some(browser), Some(session))) => {
            let (csrf, person) = (browser.form_token(SUBJECT), session.person);
            SignOut { csrf: &csrf, name: &person.name, email: &person.email }.page(&cloud.organization.name)
        }
        Ok(_) => done(&cloud),
        Err(error) => error.into_response(),
    }
}

/// `POST /connect/endsession`: of our own form it signs out; of anybody else's it asks as `GET` does.
pub async fn receive(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = if Form::is_announced(&headers) { Form::read(&body).unwrap_or_default() } else { Form::default() };
    if form.get("csrf").is_none() {
        return show(State(cloud), headers).await;
    }
    match end(&cloud, &headers, &form).await {
        Ok(()) => done(&cloud),
        Err(stopped) => stopped.page(&cloud),
    }
}

async fn end(cloud: &Cloud, headers: &HeaderMap, form: &Form) -> Result<(), Stopped> {
    let (Some(browser), _) = known(cloud, headers).await? else { return Ok(()) };
    if !browser.sent(headers, SUBJECT, form.get("csrf")) {
        return Err(Stopped::Foreign);
    }
    Ok(cloud.store.write(move |store| sign_in::end(store, &browser.hash)).await.map_err(ApiError::from)?)
}

fn done(cloud: &Cloud) -> Response {
    let text = "Nobody is signed in with this browser.";
    Message { title: "You are signed out", text, code: None }.page(&cloud.organization.name, StatusCode::OK)
}
