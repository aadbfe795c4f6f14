//! The operator and a real Keycloak.

use crate::support::Result;
use crate::support::keycloak;

#[tokio::test]
async fn a_realm_knows_its_own_operator() -> Result<()> {
    let realm = keycloak::shared().await?.realm("own-operator").await?;
    let login = realm.operator(&["manage-clients"]).await?;
    let (status, answer) = realm.client_credentials(&login.id, &login.secret, "").await?;
    assert_eq!(status, 200, "{answer}");
    Ok(())
}
