//! From a secret to none and back, under a client that asks for tokens without a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::*;

/// How long after a change a pod sees it: as the kubelet does, only faster.
const DELAY: Duration = Duration::from_secs(2);

/// What a pod would see of the published Secret: the value of a short while ago.
#[derive(Default)]
struct Volume(Vec<(Instant, Option<String>)>);

impl Volume {
    fn wrote(&mut self, secret: Option<String>) {
        self.0.push((Instant::now(), secret));
    }

    /// The secret, if there is one; nothing at all until the first value has come to the pod.
    fn shows(&self) -> Option<&(Instant, Option<String>)> {
        self.0.iter().rev().find(|(at, _)| at.elapsed() >= DELAY)
    }
}

/// Asks with the secret where there is one, else with the token of the service account. Gives back how often, and what was
/// refused.
async fn ask(world: &World, stop: &AtomicBool, asked: [&AtomicUsize; 2]) -> Result<Vec<String>> {
    let (mut volume, mut refused) = (Volume::default(), Vec::new());
    let assertion = token(world, "worker", AUDIENCE).await?;
    while !stop.load(Ordering::Acquire) {
        let keys = world.secret(world.home.name(), "moving-oauth").await?;
        volume.wrote(keys.get("client-secret").cloned());
        let Some((_, shown)) = volume.shows() else {
            tokio::task::yield_now().await;
            continue;
        };
        let (way, granted) = match shown {
            Some(secret) => {
                let keys = keys.iter().map(|(key, value)| (key.clone(), value.clone()));
                let keys = keys.chain([("client-secret".to_owned(), secret.clone())]).collect();
                (0, world.works(&keys).await?)
            }
            None => (1, accepted(world, &keys["client-id"], &assertion).await?),
        };
        asked[way].fetch_add(1, Ordering::AcqRel);
        if !granted {
            refused.push(["by the secret", "by the token"][way].to_owned());
        }
    }
    Ok(refused)
}

/// Waits until this way was used some times more.
async fn used(count: &AtomicUsize) -> Result<()> {
    let before = count.load(Ordering::Acquire);
    eventually("it is used", LIMIT, async || Ok((count.load(Ordering::Acquire) >= before + 20).then_some(()))).await
}

#[tokio::test]
async fn no_request_is_refused_on_the_way_from_a_secret_to_none_and_back() -> Result<()> {
    let world = Arc::new(world("fed-switch", Variations::default()).await?);
    world.confidential(world.home.name(), "moving", "").await?;
    world.until_ready("moving").await?;
    let stop = AtomicBool::new(false);
    let (by_secret, by_token) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let act = async {
        used(&by_secret).await?;
        let list = json!([{"name": "pod", "audience": AUDIENCE, "serviceAccountRef": {"name": "worker"}}]);
        edit(&world, "moving", json!({"clientSecret": "None", "federatedCredentials": list})).await?;
        let app = world.until_ready("moving").await?;
        assert_eq!(federated(&app).len(), 1);
        used(&by_token).await?;
        edit(&world, "moving", json!({"clientSecret": null, "federatedCredentials": null})).await?;
        let app = world.until_ready("moving").await?;
        let left = federated(&app);
        assert_eq!((left.len(), left[0].state), (1, CredentialState::Retiring), "it stays for the overlap");
        assert!(left[0].expires_at.is_some());
        used(&by_secret).await
    };
    let act = async {
        let done = act.await;
        stop.store(true, Ordering::Release);
        done
    };
    let (done, refused) = tokio::join!(act, ask(&world, &stop, [&by_secret, &by_token]));
    done?;
    assert_eq!(refused?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn the_secret_that_was_there_before_stays_for_the_overlap_and_goes_at_once_if_it_has_leaked() -> Result<()> {
    let world = world("fed-overlap", Variations::default()).await?;
    world.confidential(world.home.name(), "moving", "").await?;
    let app = world.until_ready("moving").await?;
    let before = world.secret(world.home.name(), "moving-oauth").await?;
    let list = json!([{"name": "pod", "audience": AUDIENCE, "serviceAccountRef": {"name": "worker"}}]);
    edit(&world, "moving", json!({"clientSecret": "None", "federatedCredentials": list})).await?;
    let after = world.until_ready("moving").await?;
    assert!(world.works(&before).await?, "whoever still has it goes on");
    let secrets = |app: &ExternalApplication| -> Vec<CredentialState> {
        let all = app.status.iter().flat_map(|status| &status.credentials);
        all.filter(|credential| credential.kind == CredentialKind::Secret).map(|secret| secret.state).collect()
    };
    assert_eq!((secrets(&app), secrets(&after)), (vec![CredentialState::Active], vec![CredentialState::Retiring]));
    assert_eq!(world.secret(world.home.name(), "moving-oauth").await?.get("client-secret"), None);

    world.annotate("moving", extapp::api::REVOKE_NOW, "leaked").await?;
    let revoked = |_: &ExternalApplication, status: &extapp::api::ExternalApplicationStatus| {
        status.rotation.as_ref().and_then(|rotation| rotation.revoke_now.as_deref()) == Some("leaked")
    };
    let app = world.until(world.home.name(), "moving", revoked).await?;
    assert_eq!(secrets(&app), []);
    assert!(!world.works(&before).await?, "it has leaked");
    let assertion = token(&world, "worker", AUDIENCE).await?;
    assert!(accepted(&world, &before["client-id"], &assertion).await?, "the service account goes on");
    Ok(())
}
