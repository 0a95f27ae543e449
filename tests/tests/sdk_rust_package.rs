//! The Rust SDK as it is published: packed, unpacked, and used by a project that knows nothing of this workspace.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use serde_json::json;
use tailrace_tests::{Runtime, unique, until};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The cargo that runs this test, where its results are kept anyway: nothing is compiled twice.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("CARGO_TARGET_DIR", target());
    command
}

/// `target/debug/deps/this_test` lies there.
fn target() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first program of a README, as it stands there.
fn first_program(readme: &str) -> String {
    let (_, rest) = readme.split_once("```rust,no_run\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn as_a_package_it_runs_the_first_program_of_its_readme() {
    let folder = env::temp_dir().join(unique("tailrace-package"));
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).unwrap();
    // Without a lock file, for which the registry would have to know the packages already.
    let package = ["package", "--no-verify", "--exclude-lockfile", "--allow-dirty", "--quiet"];
    run(cargo(&project()).args(package).args(["-p", "tailrace-model", "-p", "tailrace-sdk"]));
    for name in ["tailrace-model", "tailrace-sdk"] {
        let package = target().join(format!("package/{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        run(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(&packages));
    }
    let unpacked = |name: &str| packages.join(format!("{name}-{}", env!("CARGO_PKG_VERSION")));

    let runtime = Runtime::with().start();
    let program = first_program(&fs::read_to_string(unpacked("tailrace-sdk").join("README.md")).unwrap());
    let (_, main) = program.split_once("async fn main").unwrap();
    assert!(main.lines().count() < 10, "under ten lines");
    assert!(program.contains("http://localhost:8787"));
    let user = folder.join("user");
    fs::create_dir_all(user.join("src")).unwrap();
    fs::write(user.join("src/main.rs"), program.replace("http://localhost:8787", &runtime.url)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let manifest = format!(
        "[package]\nname = \"tailrace-sdk-user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         tailrace-sdk = \"{version}\"\ntokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [patch.crates-io]\ntailrace-model = {{ path = {:?} }}\ntailrace-sdk = {{ path = {:?} }}\n",
        unpacked("tailrace-model"),
        unpacked("tailrace-sdk"),
    );
    fs::write(user.join("Cargo.toml"), manifest).unwrap();
    // The same versions as here, so that what is compiled already need not be fetched or compiled again.
    fs::copy(project().join("Cargo.lock"), user.join("Cargo.lock")).unwrap();
    run(cargo(&user).args(["build", "--quiet"]));
    let running = Command::new(target().join("debug/tailrace-sdk-user")).stdin(Stdio::null()).spawn().unwrap();
    let _running = Running(running);

    let stream = runtime.client().stream("/demo");
    until("it is configured", || async { (stream.head().await.status == 200).then_some(()) }).await;
    for _ in 0..3 {
        stream.say("message").await;
    }
    let counted = until("all is counted", || async {
        let counted = stream.of_type("counted").await;
        (counted.len() == 3).then_some(counted)
    })
    .await;

    let counts: Vec<_> = counted.iter().map(|event| event["payload"]["count"].clone()).collect();
    assert_eq!(counts, [json!(1), json!(2), json!(3)]);
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn its_documentation_is_made_without_warnings() {
    run(cargo(&project())
        .args(["doc", "--quiet", "--no-deps", "-p", "tailrace-sdk"])
        .env("RUSTDOCFLAGS", "-D warnings"));
}

#[test]
fn the_example_of_its_own_is_locked_to_what_the_sdk_depends_on_now() {
    // If it is not: `cargo update --workspace` in that folder.
    run(cargo(&project().join("examples/ping-pong")).args(["update", "--workspace", "--locked", "--quiet"]));
}
