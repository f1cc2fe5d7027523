//! One commit of a night: events with the texts that they name.

use crate::{Alma, Error};
use charter::content::{Content, ContentRef};
use charter::event::Event;
use charter::ids::{Principal, StreamId, TransitionId};
use charter::label::Label;
use charter::memory::Remembered;
use charter::night::Nightly;
use charter::ports::{LeaseChange, Transition};
use serde::Serialize;
use sons_of_helaman::commit;

/// Events and texts in the making.
pub(super) struct Page<'a> {
    alma: &'a Alma,
    principal: &'a Principal,
    events: Vec<(StreamId, Event)>,
    contents: Vec<Content>,
}

impl<'a> Page<'a> {
    pub(super) fn new(alma: &'a Alma, principal: &'a Principal) -> Self {
        Self { alma, principal, events: Vec::new(), contents: Vec::new() }
    }

    pub(super) fn admin(&mut self, event: Nightly) {
        self.events.push((StreamId::admin(), Event::Nightly(event)));
    }

    pub(super) fn memory(&mut self, event: Remembered) {
        self.events.push((StreamId::memory(), Event::Remembered(event)));
    }

    pub(super) fn alma(&self) -> &'a Alma {
        self.alma
    }

    pub(super) fn json<T: Serialize>(
        &mut self,
        value: &T,
        label: Label,
    ) -> Result<ContentRef, Error> {
        let (now, entropy) = (self.alma.now(), self.alma.ports.entropy.as_ref());
        let (content, reference) =
            Content::of_json(&self.principal.tenant, value, label, now, entropy)?;
        self.contents.push(content);
        Ok(reference)
    }

    pub(super) fn text(&mut self, text: &str, label: Label) -> Result<ContentRef, Error> {
        let (now, entropy) = (self.alma.now(), self.alma.ports.entropy.as_ref());
        let bytes = text.as_bytes().to_vec();
        let (content, reference) =
            Content::new(&self.principal.tenant, bytes, label, now, entropy)?;
        self.contents.push(content);
        Ok(reference)
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        let at = self.alma.now();
        let transition = Transition {
            id: TransitionId::new(at, self.alma.ports.entropy.as_ref()),
            tenant: self.principal.tenant.clone(),
            at,
            fence: None,
            lease: LeaseChange::Keep,
            events: self.events,
            contents: self.contents,
        };
        commit(&self.alma.ports, transition).await?;
        Ok(())
    }
}
