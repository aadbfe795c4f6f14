//! What is kept for a rotation, and whether one has its turn.

use jiff::Timestamp;

use super::Error;
use crate::api::{AuthorizationServer, ExternalApplication};
use crate::controller::Context;
use crate::controller::servers::Server;
use crate::domain::rotation;
use crate::domain::rotation::kept::{SeenKept, Unreadable};
use crate::domain::rotation::pacing::{Pace, Request, Turn};

/// How it stands with rotations of one application.
pub struct Turned {
    pub kept: Option<SeenKept>,
    pub unreadable: Option<Unreadable>,
    pub turn: Option<Turn>,
    /// Whether one begins in this pass, for which it has to be known which secrets there are.
    pub begins: bool,
}

/// `keeps`: whether something is kept, as far as the cache shows. `object`: what says how many rotations go at once, where
/// the server may be asked for anything.
pub async fn of(
    app: &ExternalApplication,
    keeps: bool,
    object: Option<&AuthorizationServer>,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<Turned, Error> {
    let read = async || ctx.kubernetes().read_kept(app, |text, seal| server.judge(text, seal)).await;
    let (mut kept, mut unreadable) = if keeps { read().await? } else { (None, None) };
    let turn = object.and_then(|object| turn(app, kept.as_ref(), object, server, now));
    if turn == Some(Turn::Begin) && !keeps {
        // Before a secret is made it is known whether it can be kept: what the cache does not show may be there.
        (kept, unreadable) = read().await?;
    }
    let begins = turn == Some(Turn::Begin) && !rotation::is_under_way(app, kept.as_ref());
    Ok(Turned { kept, unreadable, turn, begins })
}

/// Whether a rotation that is due may begin.
fn turn(
    app: &ExternalApplication,
    kept: Option<&SeenKept>,
    object: &AuthorizationServer,
    server: &Server,
    now: Timestamp,
) -> Option<Turn> {
    let uid = app.metadata.uid.clone().unwrap_or_default();
    if rotation::is_under_way(app, kept) {
        // Perhaps another process began it.
        server.rotations().resume(&uid, now);
        return Some(Turn::Begin);
    }
    let Some(due) = rotation::of_application(app, now) else {
        server.rotations().forget(&uid);
        return None;
    };
    let pacing = object.spec.rotation.clone().unwrap_or_default();
    let request = Request { uid, due: due.since, urgency: due.trigger.urgency() };
    Some(server.rotations().ask(&Pace::of(&pacing), request, now))
}
