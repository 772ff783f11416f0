//! What people were told of and is not over, and the messages that began it.

use crate::decide::announcement::Act;
use crate::decide::ledger::{Ledger, Outgoing};

impl Ledger {
    /// The id of the message by which people were told that this began, if it is not over.
    pub fn told(&self, story: &str) -> Option<&str> {
        self.stories.get(story).map(String::as_str)
    }

    /// The message by which people were told that this began, as one of them got it, if it is not over.
    pub fn began(&self, story: &str) -> Option<&Outgoing> {
        self.messages(self.stories.get(story)?).next()
    }

    /// Every message by which people were told that something began that is not over.
    pub fn begun(&self) -> impl Iterator<Item = &Outgoing> {
        self.stories.values().flat_map(|id| self.messages(id))
    }

    /// Whether people were told by the message of this id that something began, and later that it is over.
    pub fn has_ended(&self, id: &str) -> bool {
        let story = self.messages(id).find_map(|outgoing| outgoing.delivery.story());
        story.is_some_and(|(story, act)| act == Act::Begins && !self.stories.contains_key(&story))
    }

    fn messages<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Outgoing> {
        let all = self.outgoing.range((id.to_owned(), String::new())..);
        all.take_while(move |((of, _), _)| of == id).map(|(_, outgoing)| outgoing)
    }
}
