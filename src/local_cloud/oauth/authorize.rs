//! The authorization endpoint: takes a request in and sends the browser to the page that it needs next.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, OriginalUri, RawQuery, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::browser::Browser;
use super::error_page::{self, MALFORMED, UNKNOWN_CLIENT, see_other};
use super::form::{Form, Malformed};
use super::redirect;
use super::request::{self, Details, Manner, Told};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications;
use crate::local_cloud::store::sign_in::{self, Pending, Session};

/// How long a person may take to answer, in milliseconds.
const REQUEST_LIFETIME: i64 = 10 * 60_000;

/// The longest query that is read, in bytes.
const LONGEST_QUERY: usize = 16 * 1024;

/// `GET /connect/authorize`.
pub async fn by_query(
    State(cloud): State<Arc<Cloud>>,
    Extension(seen): Extension<SeenClient>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let form = if query.len() > LONGEST_QUERY { Err(Malformed::TooMany) } else { Form::read(query.as_bytes()) };
    begin(&cloud, &seen, &uri, &headers, form).await
}

/// `POST /connect/authorize`, which OpenID Connect wants (Core section 3.1.2.1). It is asked again with GET, because a
/// browser keeps its cookie back when another site posts. The query does not count.
pub async fn by_form(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = if Form::is_announced(&headers) { Form::read(&body) } else { Err(Malformed::Unreadable) };
    match form.map(|form| form.to_query()) {
        Ok(query) if query.len() <= LONGEST_QUERY => see_other(&format!("authorize?{query}")),
        _ => error_page::redirect(&cloud, MALFORMED, None),
    }
}

async fn begin(
    cloud: &Cloud,
    seen: &SeenClient,
    uri: &Uri,
    headers: &HeaderMap,
    form: Result<Form, Malformed>,
) -> Response {
    let Ok(form) = form else { return error_page::redirect(cloud, MALFORMED, None) };
    match take_in(cloud, seen, uri, headers, &form).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn take_in(
    cloud: &Cloud,
    seen: &SeenClient,
    uri: &Uri,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Response, ApiError> {
    let Some(client_id) = form.get("client_id") else {
        return Ok(error_page::redirect(cloud, UNKNOWN_CLIENT, None));
    };
    let id = client_id.to_ascii_lowercase();
    let Some(application) = cloud.store.read(move |store| applications::find(store, &id)).await? else {
        return Ok(error_page::redirect(cloud, UNKNOWN_CLIENT, None));
    };
    seen.note(&application.id);
    let destination = match request::destination(form, &application) {
        Ok(destination) => destination,
        Err(mistake) => return Ok(error_page::redirect(cloud, mistake, Some(&application.id))),
    };
    let to_client = |told: &Told| refuse(cloud, &destination.0, destination.1.as_deref(), told);
    let (details, manner) = match request::judge(form, &application, &cloud.organization, destination.clone()) {
        Ok(judged) => judged,
        Err(told) => return Ok(to_client(&told)),
    };
    let (browser, session) = known(cloud, headers).await?;
    let must_sign_in = must_sign_in(&manner, session.as_ref(), cloud.clock.now_milliseconds());
    if manner.silent {
        let missing = if must_sign_in || session.is_none() { "login_required" } else { "consent_required" };
        let description = "The person must be asked, and prompt=none forbids it".to_owned();
        return Ok(to_client(&Told { error: missing, description }));
    }
    ask(cloud, uri, browser, application.id, &details, must_sign_in).await
}

/// The browser and the session that it has, if any.
pub async fn known(cloud: &Cloud, headers: &HeaderMap) -> Result<(Option<Browser>, Option<Session>), ApiError> {
    let Some(browser) = Browser::known(&cloud.cookie, headers) else { return Ok((None, None)) };
    let (hash, now) = (browser.hash.clone(), cloud.clock.now_milliseconds());
    let session = cloud.store.read(move |store| sign_in::session(store, &hash, now)).await?;
    Ok((Some(browser), session))
}

fn must_sign_in(manner: &Manner, session: Option<&Session>, now: i64) -> bool {
    let too_old = |session: &Session| manner.max_age.is_some_and(|age| now - session.signed_in >= age * 1000);
    manner.must_sign_in || session.is_some_and(too_old)
}

/// Keeps the request for this browser alone and goes on to the log-in page, which passes on who is signed in.
async fn ask(
    cloud: &Cloud,
    uri: &Uri,
    browser: Option<Browser>,
    client: String,
    details: &Details,
    must_sign_in: bool,
) -> Result<Response, ApiError> {
    let (browser, is_new) = match browser {
        Some(browser) => (browser, false),
        None => (Browser::fresh()?, true),
    };
    let request = secrets::opaque()?;
    let details = serde_json::to_string(details).map_err(|_| ApiError::Internal)?;
    let pending = Pending { client, details, must_sign_in };
    let (hash, owner, now) = (SecretHash::of(&request), browser.hash.clone(), cloud.clock.now_milliseconds());
    let expires = now + REQUEST_LIFETIME;
    cloud.store.write(move |store| sign_in::ask(store, &hash, &owner, &pending, now, expires)).await?;
    let mut response = see_other(&format!("../web/login?request={}", request.expose_secret()));
    if let Some(cookie) = browser.set_cookie(&cloud.cookie, uri).filter(|_| is_new) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Tells the client that it gets nothing (RFC 6749 section 4.1.2.1), and who says so (RFC 9207).
pub fn refuse(cloud: &Cloud, redirect_uri: &str, state: Option<&str>, told: &Told) -> Response {
    answer(cloud, redirect_uri, state, &[("error", told.error), ("error_description", &told.description)])
}

/// Sends the browser back to the client.
pub fn answer(cloud: &Cloud, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    let mut parameters = parameters.to_vec();
    parameters.extend(state.map(|state| ("state", state)));
    parameters.push(("iss", &cloud.issuer));
    see_other(&redirect::with_parameters(redirect_uri, &parameters))
}
