//! `driftd top`: the models of a running driftd in the terminal; in a pipe, once.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use crossterm::cursor;
use crossterm::event;
use crossterm::event::Event;
use crossterm::event::KeyCode;
use crossterm::event::KeyModifiers;
use crossterm::execute;
use crossterm::terminal;
use serde_json::Value;
use url::Url;

use crate::cli::OK;
use crate::cli::incidents::Reach;
use crate::cli::incidents::at;
use crate::cli::incidents::place;
use crate::cli::incidents::understood;
use crate::client::Client;

mod frame;

const PATIENCE: Duration = Duration::from_secs(5);
/// A model of thousands of features with its past.
const MOST: usize = 256 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "q or Esc ends it. In a pipe, or with --once, it prints once.")]
pub(super) struct Args {
    #[command(flatten)]
    reach: Reach,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Features of each model, the worst first
    #[arg(short = 'n', long, default_value_t = 12, value_name = "FEATURES")]
    features: usize,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Print once and end
    #[arg(long)]
    once: bool,
}

/// A model and its past, as the API gives them.
struct Looked {
    model: Value,
    past: Value,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let (url, token, reached) = match place(&args.reach)? {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let client = Client::new(&reached)?;
    let look = || {
        runtime.block_on(look(
            &client,
            &url,
            token.as_deref(),
            (args.model.as_deref(), args.features),
        ))
    };
    let is_terminal = io::stdout().is_terminal();
    if args.once || !is_terminal {
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none();
        let shown = frame::frame(&look()?, args.features, (usize::MAX, usize::MAX), colours);
        io::stdout().lock().write_all(shown.as_bytes())?;
        return Ok(OK);
    }
    // What cannot be reached at all is said plainly, not on a screen that goes away.
    let first = look()?;
    let screen = Screen::open()?;
    let colours = std::env::var_os("NO_COLOR").is_none();
    let mut shown = Ok(first);
    loop {
        let (width, height) = terminal::size().unwrap_or((100, 40));
        let size = (usize::from(width), usize::from(height));
        let text = match &shown {
            Ok(models) => frame::frame(models, args.features, size, colours),
            Err(error) => format!("driftd at {url} does not answer: {error:#}\n"),
        };
        screen.draw(&text)?;
        if ended(Duration::from_secs(args.interval))? {
            return Ok(OK);
        }
        shown = look();
    }
}

async fn look(
    client: &Client,
    url: &Url,
    token: Option<&str>,
    (only, features): (Option<&str>, usize),
) -> anyhow::Result<Vec<Looked>> {
    let get = async |path: &[&str], of: &[&str]| {
        let headers = token.map(|token| ("authorization", format!("Bearer {token}")));
        let mut url = at(url, path)?;
        if !of.is_empty() {
            url.query_pairs_mut().extend_pairs(of.iter().map(|feature| ("feature", feature)));
        }
        let answer = client.get_with(&url, headers.into_iter().collect(), PATIENCE, MOST).await;
        understood(&answer.with_context(|| format!("cannot read {url}"))?)
    };
    let all = get(&["api", "v1", "models"], &[]).await?;
    let names = all["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = names.iter().filter_map(|model| model["model"].as_str());
    let wanted: Vec<&str> = match only {
        Some(only) => vec![only],
        None => names.collect(),
    };
    let mut out = Vec::new();
    for name in wanted {
        let model = get(&["api", "v1", "models", name], &[]).await?;
        // Of a thousand features it would be megabytes, every two seconds.
        let shown = frame::worst(&model).take(features).filter_map(|row| row["feature"].as_str());
        let shown: Vec<&str> = shown.collect();
        let past = match shown.is_empty() {
            true => Value::Null,
            false => get(&["api", "v1", "models", name, "history"], &shown).await?,
        };
        out.push(Looked { model, past });
    }
    Ok(out)
}

/// Waits for a key that ends it, at most for `wait`; a change of size is no end, but worth a new look.
fn ended(wait: Duration) -> anyhow::Result<bool> {
    if !event::poll(wait)? {
        return Ok(false);
    }
    Ok(match event::read()? {
        Event::Key(key) => {
            let interrupt = key.modifiers.contains(KeyModifiers::CONTROL)
                && matches!(key.code, KeyCode::Char('c' | 'd'));
            interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        }
        _ => false,
    })
}

/// The terminal's other screen, until dropped.
struct Screen;

impl Screen {
    fn open() -> anyhow::Result<Self> {
        terminal::enable_raw_mode().context("the terminal cannot be read key by key")?;
        let screen = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    fn draw(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        execute!(out, cursor::MoveTo(0, 0))?;
        for line in text.lines() {
            write!(out, "{line}\x1b[K\r\n")?;
        }
        execute!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell.
        execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show).ok();
        terminal::disable_raw_mode().ok();
    }
}
