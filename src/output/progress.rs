//! Events as they happen, on stderr: lines everywhere, bars and a spinner on a terminal.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Style, Typed, Verbosity};
use crate::event::Event;

/// After this time devdb says what it waits for, where it cannot show a spinner. Most files take
/// less.
const SILENT_WORK: Duration = Duration::from_secs(2);

/// Shows events.
#[derive(Clone)]
pub struct Progress {
    verbosity: Verbosity,
    style: Style,
    typed: Typed,
    bars: Option<Arc<Mutex<Bars>>>,
    /// The warnings that follow the result.
    afterwards: Arc<Mutex<Vec<String>>>,
    /// How much work has begun or ended.
    moments: Arc<AtomicU64>,
}

/// What is on the terminal and not yet final.
struct Bars {
    all: MultiProgress,
    layers: HashMap<String, ProgressBar>,
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// `terminal`: whether stderr can show bars.
    pub fn new(verbosity: Verbosity, terminal: bool, style: Style, typed: Typed) -> Self {
        let bars = (terminal && verbosity != Verbosity::Quiet).then(|| {
            Arc::new(Mutex::new(Bars {
                all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
                layers: HashMap::new(),
                spinner: None,
            }))
        });
        let (afterwards, moments) = (Arc::default(), Arc::default());
        Progress { verbosity, style, typed, bars, afterwards, moments }
    }

    /// The style of stderr.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        if let Event::WarningAfterwards { text } = event {
            lock(&self.afterwards).push(text.clone());
            return;
        }
        if let Some(bars) = &self.bars {
            lock(bars).update(event);
        }
        if let Some(line) = self.line(event) {
            self.print(&self.typed.add(&line));
        }
        self.watch(event);
    }

    /// Says later what devdb waits for, if it still does then and there is no spinner.
    fn watch(&self, event: &Event) {
        if matches!(event, Event::CommandSaid { .. } | Event::Note { .. } | Event::Warning { .. }) {
            return;
        }
        let moment = self.moments.fetch_add(1, Ordering::Relaxed) + 1;
        let Event::Working { text } = event else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.bars.is_some() || self.verbosity != Verbosity::Normal {
            return;
        }
        let (progress, line) = (self.clone(), format!("{text} …"));
        runtime.spawn(async move {
            tokio::time::sleep(SILENT_WORK).await;
            if progress.moments.load(Ordering::Relaxed) == moment {
                progress.print(&progress.style.dim(&line));
            }
        });
    }

    /// Shows the warnings that follow the result.
    pub fn show_what_follows(&self) {
        for text in lock(&self.afterwards).drain(..) {
            let warning = Event::Warning { text };
            if let Some(line) = self.line(&warning) {
                self.print(&self.typed.add(&line));
            }
        }
    }

    /// Takes bars and spinner off the terminal.
    pub fn clear(&self) {
        self.moments.fetch_add(1, Ordering::Relaxed);
        if let Some(bars) = &self.bars {
            let mut bars = lock(bars);
            bars.end_spinner();
            bars.end_layers();
        }
    }

    /// The line for an event, if this verbosity has one.
    fn line(&self, event: &Event) -> Option<String> {
        let style = self.style;
        if let Event::Warning { text } = event {
            return Some(format!("{} {text}", style.yellow("warning:")));
        }
        if self.verbosity == Verbosity::Quiet {
            return None;
        }
        let verbose = self.verbosity == Verbosity::Verbose;
        match event {
            Event::EngineChosen { engine, reason } => Some(format!("using {engine}: {reason}")),
            Event::Pulling { image } if self.bars.is_none() => Some(format!("pulling {image}")),
            Event::Pulled { image, took } => Some(format!("pulled {image} {}", self.took(*took))),
            Event::Pushing { image } if self.bars.is_none() => Some(format!("pushing {image}")),
            Event::Pushed { image, took } => Some(format!("pushed {image} {}", self.took(*took))),
            Event::Step { text } | Event::Working { text } if verbose => Some(style.dim(text)),
            Event::Ready { took } if verbose => {
                Some(format!("the server accepts logins {}", self.took(*took)))
            }
            Event::MigrationApplied { file, took, .. } => {
                Some(format!("{} {file} {}", style.green("applied"), self.took(*took)))
            }
            Event::SeedApplied { file, rows, took } => {
                let rows = match rows {
                    Some(1) => " 1 row".to_owned(),
                    Some(rows) => format!(" {rows} rows"),
                    None => String::new(),
                };
                Some(format!("{}  {file}{rows} {}", style.green("seeded"), self.took(*took)))
            }
            Event::CommandSaid { line } if verbose => Some(format!("  {} {line}", style.dim("|"))),
            Event::CommandRan { command, took } => {
                Some(format!("{}     {command} {}", style.green("ran"), self.took(*took)))
            }
            Event::PortMoved { from, to } => Some(format!(
                "{} port {from} is taken by another program; moved to port {to}",
                style.yellow("note:")
            )),
            Event::Note { text } => Some(format!("{} {text}", style.bold("note:"))),
            _ => None,
        }
    }

    fn took(&self, took: Duration) -> String {
        self.style.dim(&format!("({} ms)", took.as_millis()))
    }

    fn print(&self, line: &str) {
        // A stderr that cannot be written must not end a command that works.
        let write = || drop(writeln!(io::stderr().lock(), "{line}"));
        match &self.bars {
            Some(bars) => lock(bars).all.suspend(write),
            None => write(),
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bars {
    fn update(&mut self, event: &Event) {
        match event {
            Event::Step { text } | Event::Working { text } => self.spin(text),
            Event::PullProgress { layer, status, current, total } => {
                self.end_spinner();
                self.layer(layer, status, *current, *total);
            }
            Event::Pulled { .. } | Event::Pushed { .. } => self.end_layers(),
            Event::Ready { .. }
            | Event::MigrationApplied { .. }
            | Event::SeedApplied { .. }
            | Event::CommandRan { .. } => self.end_spinner(),
            _ => {}
        }
    }

    /// A spinner that appears after 250 ms: what is quicker needs none.
    fn spin(&mut self, text: &str) {
        self.end_spinner();
        let spinner = ProgressBar::new_spinner().with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            spinner.set_style(style);
        }
        let spinner = self.all.add(spinner);
        let late = spinner.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(250)).await;
            if !late.is_finished() {
                late.enable_steady_tick(Duration::from_millis(100));
            }
        });
        self.spinner = Some(spinner);
    }

    fn end_spinner(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn layer(&mut self, layer: &str, status: &str, current: u64, total: u64) {
        let bar = self.layers.entry(layer.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            if let Ok(style) = ProgressStyle::with_template(
                "{prefix:12} {msg:16} {bar:28} {decimal_bytes:>10}/{decimal_total_bytes:10}",
            ) {
                bar.set_style(style);
            }
            bar.with_prefix(layer.to_owned())
        });
        if total > 0 {
            bar.set_length(total);
            bar.set_position(current);
        }
        bar.set_message(status.to_owned());
    }

    fn end_layers(&mut self) {
        for (_, bar) in self.layers.drain() {
            bar.finish_and_clear();
        }
    }
}
