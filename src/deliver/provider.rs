//! What a preset consists of: one table for each kind of receiver, read by one way of sending.
//!
//! Texts hold placeholders: those of a body template (`{{id}}`), `{{with.NAME}}` for the preset's own
//! settings, `{{webhook}}` for the configured URL, `{{run}}` for what the receiver calls the run.

use url::Url;

use crate::deliver::rules::Rules;

/// How one kind of receiver is talked to and understood.
#[derive(Debug)]
pub(crate) struct Provider {
    /// Where its API is, if that is the same for everyone.
    pub(crate) home: Option<&'static str>,
    /// The request's URL; `{{webhook}}` has no slash at its end where more follows.
    pub(crate) url: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Repeats the id under the customary names, and dates the attempt.
    pub(crate) standard_headers: bool,
    /// JSON whose placeholders all stand within strings; a string that is nothing but one becomes its
    /// value, and a key whose setting is not given is left out.
    pub(crate) body: &'static str,
    pub(crate) encoding: Encoding,
    /// A key of the body that older servers refuse by this status, naming it: they are asked again without.
    pub(crate) lately: Option<(u16, &'static str)>,
    /// Above so many bytes the report is left out of the body, and the body says so.
    pub(crate) most: Option<usize>,
    pub(crate) settings: &'static [Setting],
    /// What the pipeline is given, unless the configuration says otherwise.
    pub(crate) parameters: &'static [(&'static str, &'static str)],
    /// It takes so many of them.
    pub(crate) most_parameters: Option<usize>,
    /// Values are texts: structures go as JSON in a string.
    pub(crate) texts_only: bool,
    pub(crate) auth: Auth,
    pub(crate) rules: &'static Rules,
    /// More `{{with.NAME}}` that follow from the URL.
    pub(crate) derive: fn(&Url) -> Vec<(&'static str, String)>,
    /// Where an earlier attempt whose answer was lost can be found again.
    pub(crate) lookup: Option<Lookup>,
    pub(crate) confirm: Option<Confirm>,
}

impl Provider {
    /// Any URL that takes the event itself as JSON.
    pub(crate) const PLAIN: Provider = Provider {
        home: None,
        url: "{{webhook}}",
        headers: &[("content-type", "application/json")],
        standard_headers: true,
        body: "\"{{announcement}}\"",
        encoding: Encoding::Json,
        lately: None,
        most: None,
        settings: &[],
        parameters: &[],
        most_parameters: None,
        texts_only: false,
        auth: Auth::Optional,
        rules: &Rules::PLAIN,
        derive: |_| Vec::new(),
        lookup: None,
        confirm: None,
    };

    pub(crate) fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    /// `a=1&b[c]=2` of `{"a": "1", "b": {"c": "2"}}`.
    Form,
}

/// One key of `with:`.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// `None`: it must be given, unless `optional`.
    pub(crate) default: Option<&'static str>,
    pub(crate) optional: bool,
    /// In a URL its slashes stay: it is several segments of a path.
    pub(crate) slashes: bool,
    /// An example, and what it is.
    pub(crate) example: &'static str,
    pub(crate) help: &'static str,
}

impl Setting {
    pub(crate) const fn required(
        name: &'static str,
        example: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, default: None, optional: false, slashes: false, example, help }
    }

    pub(crate) const fn optional(
        name: &'static str,
        example: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, default: None, optional: true, slashes: false, example, help }
    }

    pub(crate) const fn or(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: Some(default),
            optional: true,
            slashes: false,
            example: default,
            help,
        }
    }

    pub(crate) const fn with_slashes(self) -> Self {
        Self { slashes: true, ..self }
    }
}

/// What the receiver wants to know who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// A bearer token, if one is given; with `user`, HTTP Basic.
    Optional,
    /// The same, and nothing works without.
    Token,
    /// HTTP Basic: `user` and the token as its password.
    Basic,
    /// The token as this field of the form.
    Field(&'static str),
    /// A bearer token; with `user`, it is fetched from this path of the same server by name and password.
    Login(&'static str),
    /// A bearer token, or one of a GitHub App's installation, which needs to write this.
    Installation(&'static str),
}

/// Asks for recent runs before an attempt is repeated: one that carries the id is ours.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) url: &'static str,
    /// Before the first attempt too: the receiver keeps our id, and an earlier life may have sent it.
    pub(crate) always: bool,
    /// JSON pointer to the list of runs.
    pub(crate) items: &'static str,
    /// JSON pointer within one to what `{{run}}` is.
    pub(crate) run: &'static str,
    /// Only texts that are equal to this, not those that hold the id somewhere.
    pub(crate) equals: Option<(&'static str, &'static str)>,
}

/// How to ask what became of the run.
#[derive(Debug)]
pub(crate) struct Confirm {
    /// Asked without being told to.
    pub(crate) by_default: bool,
    /// Reading takes a token of its own, sent in this header.
    pub(crate) own_token: Option<&'static str>,
    pub(crate) url: &'static str,
    pub(crate) run: RunFrom,
    pub(crate) of: Of,
    /// JSON pointer to the URL of the run itself, where the answer is only its place in a queue.
    pub(crate) then: Option<&'static str>,
    /// JSON pointers to its state; the first text found counts.
    pub(crate) state: &'static [&'static str],
    pub(crate) succeeded: &'static [&'static str],
    pub(crate) failed: &'static [&'static str],
    /// JSON pointer to a page for people.
    pub(crate) page: Option<&'static str>,
}

/// What of an answer is the run; pointers lead to lists, and none in a list is no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Itself,
    First(&'static str),
    /// The first that holds our id somewhere.
    Ours(&'static str),
}

/// Where the receiver says what it calls the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunFrom {
    /// It is our own id.
    Id,
    /// JSON pointer into the answer's body.
    Body(&'static str),
    /// The header `Location`.
    Location,
}
