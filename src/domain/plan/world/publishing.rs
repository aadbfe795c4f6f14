//! Objects and secrets that a pass writes.

use super::*;

impl World {
    pub(super) fn guard(&mut self) {
        self.app.metadata.finalizers = Some(vec![FINALIZER.into()]);
    }

    pub(super) fn keep(&mut self, pass: &mut Pass<'_>, id: &ClientId, secret: SecretId, value: &str) {
        pass.current = Some(Current { created_at: Some(self.now), ..Current::known_as(secret.clone()) });
        pass.secret = Some((secret.clone(), ClientSecret::new(value)));
        let held = Held { id: secret, secret: ClientSecret::new(value).into(), rotation: pass.replaces.clone() };
        self.held = Some((id.clone(), held));
    }

    pub(super) fn publish(&mut self, pass: &mut Pass<'_>, output: &ResolvedOutput, over: Option<&Standing>) {
        let id = pass.client_id.clone().expect("published after there is a registration");
        let key = pass.secret.as_ref().map(|(id, secret)| Key { id, secret });
        let rendered = render(output, &pass.valid.facts(&id), key).expect("rendered");
        let place = (rendered.kind, rendered.name.clone());
        if let Some(there) = self.objects.get(&place) {
            assert!(there.ours, "wrote over an object of others");
            let over = over.map(|over| (over.uid.clone(), over.resource_version.clone()));
            let over = pass.wrote.get(&place).cloned().or(over);
            assert_eq!(over, Some((there.uid.clone(), there.version.clone())), "wrote over what was not read");
        }
        let uid = self.objects.get(&place).map_or_else(|| format!("uid-{}", self.count), |there| there.uid.clone());
        let version = self.next().to_string();
        pass.wrote.insert(place.clone(), (uid.clone(), version.clone()));
        let object = Object::written(rendered, uid, version);
        self.backup.push((place.clone(), object.clone()));
        self.objects.insert(place, object);
        pass.unwritten -= 1;
        if pass.unwritten == 0 {
            self.held = None;
        }
    }
}
