//! Commands, signals and new baselines: what changes while the program runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::RecursiveMode;
use notify::Watcher;
use thiserror::Error;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock::now_ms;
use crate::config::Config;
use crate::decide::CloseReason;
use crate::fetch;
use crate::fetch::WorkerCommand;
use crate::http::Command;
use crate::http::Refusal;
use crate::metrics::Metrics;
use crate::pipeline::baselines::check;
use crate::pipeline::baselines::location;
use crate::pipeline::baselines::tell_misfits;
use crate::pipeline::configured::Configured;
use crate::pipeline::evaluate::Accepting;
use crate::pipeline::evaluate::Closing;
use crate::pipeline::evaluate::Request;
use crate::pipeline::evaluate::Standing;
use crate::pipeline::follow::active_from;
use crate::pipeline::follow::agreed_digest;
use crate::pipeline::follow::propose;
use crate::pipeline::ingest::Adoption;
use crate::pipeline::ingest::Order;
use crate::pipeline::ingest::Orders;
use crate::pipeline::settling::Settling;
use crate::pipeline::settling::Sight;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store::Store;

/// A file that has just changed may still be being written.
const SETTLE: Duration = Duration::from_millis(200);

/// The model is another replica's to evaluate.
#[derive(Debug, Error)]
#[error(
    "another replica evaluates this model{}; ask there",
    if place.is_empty() { String::new() } else { format!(": {place}") }
)]
struct Elsewhere {
    place: String,
}

pub(super) struct Control {
    pub config: Config,
    pub specs: Arc<Vec<Spec>>,
    pub worker: WorkerCommand,
    pub metrics: Metrics,
    /// Digest of the baseline in force, or on its way to ingest, per model.
    pub digests: Vec<Option<String>>,
    /// Where the baseline of a model is looked for, if a command named another place than the
    /// configuration.
    pub places: Vec<Option<String>>,
    /// The last change of each model, until it is known what became of it.
    pub adoptions: Vec<Option<Arc<Adoption>>>,
    pub orders: Orders,
    pub requests: mpsc::Sender<Request>,
    pub store: Arc<Store>,
    /// Whether this process evaluates: where replicas share models, its evaluator brings a model's baseline.
    pub evaluates: bool,
    /// The configuration's file, if it came from one.
    pub configured: Option<Configured>,
}

impl Control {
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) {
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = self.watch_files(changed);
        let apart = self.config.baselines.refresh_interval.0;
        let mut settling = Settling::new(self.specs.len(), apart);
        let mut refresh = interval(apart.max(SETTLE));
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                error!(%error, "SIGHUP can't be listened to");
                return;
            }
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = refresh.tick() => self.refresh_all(&mut settling).await,
                Some(()) = changes.recv() => {
                    sleep(SETTLE).await;
                    self.refresh_all(&mut settling).await;
                    // What was new to this look is looked at again after a whole interval.
                    refresh.reset();
                }
                _ = hangup.recv() => {
                    info!("SIGHUP: looking at the configuration and at every baseline");
                    // The log tells.
                    drop(self.reload(&mut settling).await);
                }
                Some(command) = commands.recv() => self.carry_out(command, &mut settling).await,
            }
        }
    }

    /// Local baselines are watched through their directory: a file that is replaced by renaming, and
    /// a Kubernetes volume that swaps a link, are seen there. Polling remains for what it misses.
    fn watch_files(&self, changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel already holds the news.
                changed.try_send(()).ok();
            }
        });
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                warn!(%error, "files can't be watched; baselines are looked at every refresh_interval");
                return None;
            }
        };
        let folders: BTreeSet<PathBuf> =
            self.specs.iter().filter_map(|spec| folder(location(&spec.model))).collect();
        for folder in folders {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                warn!(folder = %folder.display(), %error, "a folder can't be watched; it is looked at every refresh_interval");
            }
        }
        Some(watcher)
    }

    async fn refresh_all(&mut self, settling: &mut Settling) {
        if !self.evaluates {
            return;
        }
        for model in 0..self.specs.len() {
            if let Err(error) = self.refresh(model, None, Some(settling)).await {
                // Who evaluates it looks after its baseline.
                if error.is::<Elsewhere>() {
                    continue;
                }
                let name = self.specs[model].name();
                error!(
                    model = name,
                    error = format!("{error:#}"),
                    "the new baseline can't be used; the one in force stays"
                );
                self.metrics.baseline_refresh_failed(name);
            }
        }
    }

    /// Takes up the model's baseline if it is not the one in force; true if it was taken up. Without
    /// `settling` at once: whoever says by a command that there is a new one knows that it is whole.
    async fn refresh(
        &mut self,
        model: usize,
        uri: Option<&str>,
        mut settling: Option<&mut Settling>,
    ) -> anyhow::Result<bool> {
        let specs = self.specs.clone();
        let spec = &specs[model];
        let named = uri.map(str::to_owned).or_else(|| self.places[model].clone());
        let named = named.filter(|place| place != location(&spec.model));
        let place = named.as_deref().unwrap_or(location(&spec.model));
        if self.adoptions[model].take_if(|adoption| adoption.was_refused()).is_some() {
            self.digests[model] = None;
        }
        let standing = self.stand(model).await?;
        if let Some(store) = self.store.kafka() {
            self.digests[model] = agreed_digest(store, spec.name());
        }
        let look = fetch::look(&self.config.baselines, place, &self.worker).await;
        let is_new =
            look.as_ref().is_ok_and(|look| self.digests[model].as_ref() != Some(&look.digest));
        if let Some(settling) = settling.as_deref_mut().filter(|_| !is_new) {
            settling.forget(model);
        }
        let look = look?;
        if !is_new {
            self.metrics.baseline_refreshed(spec.name(), now_ms());
            return Ok(false);
        }
        let mut settling = settling.filter(|_| look.is_listed);
        if !self.has_settled(settling.as_deref_mut(), model, &look.digest) {
            return Ok(false);
        }
        let overrides = spec.model.overrides();
        let baseline = fetch::load(&self.config.baselines, place, &overrides, &self.worker).await?;
        if !self.has_settled(settling, model, &baseline.digest) {
            return Ok(false);
        }
        check(spec, &baseline)?;
        tell_misfits(&spec.model, &baseline);
        if let (Some(standing), Some(store)) = (standing, self.store.kafka()) {
            let from = active_from(standing.furthest_ms, now_ms(), spec.model.pane.as_ms());
            let watched = Watched::new(spec, Arc::new(baseline), from);
            propose(store, spec, &Watched { place: named.clone(), ..watched })?;
            self.places[model].clone_from(&named);
            return Ok(true);
        }
        self.digests[model] = Some(baseline.digest.clone());
        self.places[model].clone_from(&named);
        let adoption = Arc::new(Adoption::new(model, Arc::new(baseline), named));
        self.adoptions[model] = Some(Arc::clone(&adoption));
        self.orders.send(Order::Adopt(adoption)).await?;
        Ok(true)
    }

    /// Whether a folder or prefix has been the same for an interval, if it has to; told once for each that it
    /// has become.
    fn has_settled(&self, settling: Option<&mut Settling>, model: usize, digest: &str) -> bool {
        let sight = settling.map(|settling| settling.see(model, digest, Instant::now()));
        match sight {
            None | Some(Sight::Settled) => true,
            Some(Sight::Waiting) => false,
            Some(Sight::New) => {
                info!(
                    model = self.specs[model].name(),
                    "a new baseline in several files, which may still be being written; it is taken up \
                     when a look after refresh_interval finds the same ones"
                );
                false
            }
        }
    }

    /// Where a model stands that replicas share; `None` where they do not.
    ///
    /// # Errors
    /// `Elsewhere` when another replica evaluates it.
    async fn stand(&self, model: usize) -> anyhow::Result<Option<Standing>> {
        if self.store.file().is_some() {
            return Ok(None);
        }
        let (reply, standing) = oneshot::channel();
        self.requests.send(Request::Stand { model, reply }).await?;
        standing.await?.map(Some).map_err(|place| Elsewhere { place }.into())
    }

    async fn carry_out(&mut self, command: Command, settling: &mut Settling) {
        let (answer, reply) = match command {
            Command::ReplaceBaseline { model, uri, reply } => {
                (self.replace(&model, uri.as_deref()).await, reply)
            }
            Command::AcceptFault { model, by, reply } => (self.accept(model, by).await, reply),
            Command::CloseIncident { id, as_, by, reply } => (self.close(id, as_, by).await, reply),
            Command::Reload { reply } => (self.reload(settling).await, reply),
        };
        if reply.send(answer).is_err() {
            warn!("whoever gave the command has gone");
        }
    }

    /// Looks at every baseline, and whether the configuration file could be taken up by a restart.
    async fn reload(&mut self, settling: &mut Settling) -> Result<String, Refusal> {
        self.refresh_all(settling).await;
        let looked = "every baseline was looked at";
        let Some(configured) = &self.configured else { return Ok(looked.to_owned()) };
        let file = configured.file.display();
        match configured.is_in_force() {
            Ok(same) => {
                self.metrics.config_read(now_ms());
                if same {
                    return Ok(looked.to_owned());
                }
                warn!(%file, "the configuration has changed; restart to take it up");
                Ok(format!("{looked}; {file} has changed: restart to take it up"))
            }
            Err(error) => {
                self.metrics.config_reload_failed();
                error!(%file, %error, "the configuration can't be used; the one before it stays in force");
                Err(Refusal::Invalid(format!(
                    "the configuration before it stays in force: {error}"
                )))
            }
        }
    }

    async fn replace(&mut self, model: &str, uri: Option<&str>) -> Result<String, Refusal> {
        let Some(at) = self.specs.iter().position(|spec| spec.name() == model) else {
            return Err(Refusal::NotFound(format!("no model `{model}` is configured")));
        };
        match self.refresh(at, uri, None).await {
            Ok(true) => Ok(format!("the new baseline of {model} is taken up")),
            Ok(false) => Err(Refusal::Conflict("this baseline is in force already".to_owned())),
            Err(error) => match error.downcast::<Elsewhere>() {
                Ok(elsewhere) => Err(Refusal::Conflict(elsewhere.to_string())),
                Err(error) => Err(Refusal::Invalid(format!("{error:#}"))),
            },
        }
    }

    async fn accept(&self, model: String, by: String) -> Result<String, Refusal> {
        let (reply, accepting) = oneshot::channel();
        let request = Request::Accept { model: model.clone(), by, reply };
        let gone = || Refusal::Failed("the program is stopping".to_owned());
        self.requests.send(request).await.map_err(|_| gone())?;
        match accepting.await.map_err(|_| gone())? {
            Accepting::Done(faults) => Ok(format!("accepted as drift of {model}: {faults}")),
            Accepting::Unknown => {
                Err(Refusal::NotFound(format!("no model `{model}` is configured")))
            }
            Accepting::Elsewhere(place) => Err(Refusal::Conflict(Elsewhere { place }.to_string())),
            Accepting::NoFault => Err(Refusal::Conflict(format!("{model} has no fault"))),
            Accepting::NotDurable => {
                Err(Refusal::Failed("the incident log can't be written".to_owned()))
            }
        }
    }

    async fn close(
        &self,
        id: String,
        closed_as: CloseReason,
        by: String,
    ) -> Result<String, Refusal> {
        let (reply, closing) = oneshot::channel();
        let request = Request::Close { id: id.clone(), closed_as, by, reply };
        let gone = || Refusal::Failed("the program is stopping".to_owned());
        self.requests.send(request).await.map_err(|_| gone())?;
        match closing.await.map_err(|_| gone())? {
            Closing::Done => Ok(format!("incident {id} is closed")),
            Closing::Unknown => Err(Refusal::NotFound(format!("no incident `{id}` is known"))),
            Closing::Elsewhere(place) => Err(Refusal::Conflict(Elsewhere { place }.to_string())),
            Closing::AlreadyClosed => Err(Refusal::Conflict(format!("incident {id} is closed"))),
            Closing::NotDurable => {
                Err(Refusal::Failed("the incident log can't be written".to_owned()))
            }
        }
    }
}

/// The folder to watch for a local baseline.
fn folder(location: &str) -> Option<PathBuf> {
    if location.contains("://") {
        return None;
    }
    let path = Path::new(location);
    if path.is_dir() { Some(path.to_owned()) } else { path.parent().map(Path::to_owned) }
}
