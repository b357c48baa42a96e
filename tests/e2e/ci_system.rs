//! What the runners of two CI systems do with a job, on this machine: its commands in order, in its
//! environment, and its cache. What a runner brings along (checkout, cache, services) is stood in
//! for; a feature that is not stood in for fails the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_yaml::{Mapping, Value};

/// One machine that runs one job.
pub struct Runner {
    /// Where the repository is checked out.
    pub checkout: PathBuf,
    /// The CI system's cache, which outlives the machine.
    pub store: PathBuf,
    /// What the machine sets by itself; nothing else is set.
    pub environment: BTreeMap<String, String>,
    /// What the repository's settings have: variables and secrets.
    pub settings: BTreeMap<String, String>,
    /// Where the job's Docker service is in truth.
    pub service: Option<String>,
}

/// How a job ended.
pub struct Job {
    pub passed: bool,
    /// Everything that its commands said.
    pub log: String,
    /// What it put into the CI system's cache.
    pub kept: Vec<String>,
}

impl Job {
    #[track_caller]
    pub fn passes(self) -> Self {
        assert!(self.passed, "{}", self.log);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.log.contains(text), "{text:?} is not in\n{}", self.log);
        self
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text"))
}

fn pairs(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let mapping = value.as_mapping().into_iter().flatten();
    mapping.map(|(name, value)| (text(name), text(value)))
}

fn lines(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().map(text).collect()
}

/// A file or a directory, with its modes.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "-T"]).args([from, to]).status();
    assert!(copied.unwrap().success(), "{} to {}", from.display(), to.display());
}

impl Runner {
    fn shell(
        &self,
        options: &[&str],
        script: &str,
        environment: &BTreeMap<String, String>,
    ) -> (bool, String) {
        let output = Command::new("bash")
            .args(options)
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(&self.checkout)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        (output.status.success(), format!("$ {script}\n{said}"))
    }

    fn restore(&self, path: &str) {
        if self.store.join(path).exists() {
            copy(&self.store.join(path), &self.checkout.join(path));
        }
    }

    fn keep(&self, path: &str, job: &mut Job) {
        if self.checkout.join(path).exists() {
            copy(&self.checkout.join(path), &self.store.join(path));
            job.kept.push(path.to_owned());
        }
    }

    /// `.github/workflows/devdb.yml`
    pub fn github(&self) -> Job {
        let file = self.checkout.join(".github/workflows/devdb.yml");
        let workflow: Value =
            serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let steps = workflow["jobs"]["test"]["steps"].as_sequence().unwrap();
        let mut environment = self.environment.clone();
        for (name, value) in pairs(&workflow["env"]) {
            environment.insert(name.to_owned(), self.expand(value));
        }
        let outputs = self.store.join("outputs");
        environment.insert("GITHUB_OUTPUT".into(), outputs.display().to_string());

        let mut job = Job { passed: true, log: String::new(), kept: Vec::new() };
        let mut known = BTreeMap::new();
        for step in steps {
            if !holds(&step["if"], &known, job.passed) {
                continue;
            }
            if let Some(action) = step["uses"].as_str() {
                self.act(action, &step["with"], &mut job);
                continue;
            }
            std::fs::write(&outputs, "").unwrap();
            let (succeeded, said) = self.shell(&["-e"], text(&step["run"]), &environment);
            job.log.push_str(&said);
            job.passed &= succeeded || step["continue-on-error"] == Value::Bool(true);
            for output in std::fs::read_to_string(&outputs).unwrap().lines() {
                let (name, value) = output.split_once('=').unwrap();
                let id = text(&step["id"]);
                known.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
            }
        }
        job
    }

    fn act(&self, action: &str, with: &Value, job: &mut Job) {
        match action.split('@').next().unwrap() {
            "actions/checkout" | "actions/upload-artifact" => {}
            // It keeps devdb itself, which this machine has.
            "actions/cache" => assert_eq!(with["path"], "~/.cargo/bin/devdb"),
            "actions/cache/restore" => self.restore(text(&with["path"])),
            "actions/cache/save" => self.keep(text(&with["path"]), job),
            _ => panic!("nothing stands in for {action}"),
        }
    }

    /// A value of which one setting is all.
    fn expand(&self, value: &str) -> String {
        let Some(inner) = value.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")) else {
            assert!(!value.contains("${{"), "{value}");
            return value.to_owned();
        };
        let (context, name) = inner.trim().split_once('.').unwrap();
        assert!(matches!(context, "vars" | "secrets"), "{value}");
        self.settings.get(name).cloned().unwrap_or_default()
    }

    /// The job `test` of `.gitlab-ci.yml`.
    pub fn gitlab(&self) -> Job {
        let file = self.checkout.join(".gitlab-ci.yml");
        let pipeline: Value =
            serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let test = Value::Mapping(extended(&pipeline, "test"));
        let mut environment = self.environment.clone();
        let variables = pairs(&pipeline["variables"]).chain(pairs(&test["variables"]));
        environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // A project's settings win over the file.
        environment.extend(self.settings.clone());
        if !test["services"].is_null() {
            let address = self.service.clone().unwrap();
            let before = environment.insert("DOCKER_HOST".into(), address);
            assert_eq!(before.as_deref(), Some("tcp://docker:2375"));
        }

        let caches = test["cache"].as_sequence().unwrap();
        let paths: Vec<&str> = caches.iter().flat_map(|cache| lines(&cache["paths"])).collect();
        let mut job = Job { passed: true, log: String::new(), kept: Vec::new() };
        paths.iter().for_each(|path| self.restore(path));
        let script = [lines(&test["before_script"]), lines(&test["script"])].concat().join("\n");
        (job.passed, job.log) = self.shell(&["-e", "-o", "pipefail"], &script, &environment);
        if job.passed {
            paths.iter().for_each(|path| self.keep(path, &mut job));
        }
        job
    }
}

/// Whether a step runs.
fn holds(condition: &Value, known: &BTreeMap<String, String>, passed: bool) -> bool {
    match condition.as_str() {
        None => passed,
        Some("failure()") => !passed,
        Some(condition) => {
            let (name, value) = condition.split_once(" == ").unwrap();
            assert!(name.starts_with("steps."), "{condition}");
            passed && known.get(name).map(String::as_str) == Some(value.trim_matches('\''))
        }
    }
}

/// A job with what it extends: mappings are merged, everything else is replaced.
fn extended(pipeline: &Value, name: &str) -> Mapping {
    let mut job = pipeline[name].as_mapping().unwrap_or_else(|| panic!("no job {name}")).clone();
    let bases = job.remove("extends").unwrap_or_default();
    let mut all = Mapping::new();
    for base in lines(&bases) {
        merge(&mut all, extended(pipeline, base));
    }
    merge(&mut all, job);
    all
}

fn merge(into: &mut Mapping, from: Mapping) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Mapping(there)), Value::Mapping(more)) => merge(there, more),
            (_, value) => drop(into.insert(name, value)),
        }
    }
}
