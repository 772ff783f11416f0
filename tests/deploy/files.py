"""The image, the compose stack, the systemd unit, and every shell script and YAML file here."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import yaml

import schemas
from common import DEPLOY, DRIFTD, ROOT, SERVERS, folder, need, ports, run, server, tool

# What distroless/cc has.
LIBRARIES = {"linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"}


def check_files_dockerfile():
    run([tool("hadolint"), DEPLOY / "Dockerfile"])
    text = (DEPLOY / "Dockerfile").read_text()
    need("USER 65532:65532" in text and 'ENTRYPOINT ["/usr/local/bin/driftd"]' in text, "not root, no shell")
    toolchain = re.search(r'channel = "([\d.]+)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    need(f"RUSTUP_TOOLCHAIN={toolchain}" in text, f"the image builds with another Rust than {toolchain}")
    kept = set((DEPLOY / "Dockerfile.dockerignore").read_text().split()) - {"*"}
    copied = set(re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M))
    need(kept == {f"!{name}" for one in copied for name in one.split()}, f"copied {copied}, not ignored {kept}")


def compiled():
    """This project's files that rustc read for the binary and its library, from the lists that it leaves beside them.

    Cargo's own list beside the binary is not there when only `cargo test` has built it.
    """
    binary = pathlib.Path(DRIFTD)
    parts = binary.parent / "deps"
    linked = [one for one in parts.glob("driftd-*") if one.samefile(binary)]
    libraries = [one for one in parts.glob("libdriftd-*.rlib") if one.stat().st_mtime <= binary.stat().st_mtime]
    need(linked and libraries, f"no driftd-* and libdriftd-*.rlib in {parts}: DRIFTD has to be where cargo has built it")
    library = max(libraries, key=lambda one: one.stat().st_mtime)
    lists = [linked[0].with_suffix(".d"), library.with_name(library.stem.removeprefix("lib")).with_suffix(".d")]
    read = {file for one in lists for file in re.findall(r"^((?:[^\s\\:]|\\.)+):$", one.read_text(), re.M)}
    paths = (os.path.relpath(ROOT / file, ROOT) for file in read)
    return {path for path in paths if not path.startswith("../")}


def check_files_image_has_all_that_is_compiled():
    """What cargo read for the binary of the tests is among what the Dockerfile copies, and Cargo takes that folder."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [name for one in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M) for name in one.split()]
    own = compiled()
    need(len(own) > 200, f"only {len(own)} files of this project were read for {DRIFTD}")
    left_out = {file for file in own if not any(file == one or file.startswith(f"{one}/") for one in copied)}
    need(not left_out, f"the image is built without {sorted(left_out)}")
    with folder() as place:
        for name in copied:
            target = pathlib.Path(place) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target)
            else:
                shutil.copy(ROOT / name, target)
        run(["cargo", "metadata", "--format-version=1", "--no-deps", "--offline", "--locked"], cwd=place)


def check_files_image_has_all_libraries():
    """The binary of the tests is linked as the image's: nothing that distroless/cc does not have."""
    needed = {line.split()[0] for line in run(["ldd", DRIFTD]).splitlines() if "ld-linux" not in line}
    need(needed <= LIBRARIES, f"not in the image: {needed - LIBRARIES}")


def healthcheck():
    """The command that the image's engine asks whether driftd is alive."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return json.loads(re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", text, re.M)[1])


def check_files_run_without_root_on_a_read_only_root():
    """As the image runs it: another user, no capabilities, nothing writable but its state."""
    if os.geteuid() != 0:
        print("SKIPPED files run without root: only root can make the mounts for it", flush=True)
        need(os.environ.get("DRIFTD_TEST_REQUIRE") != "all", "DRIFTD_TEST_REQUIRE=all makes this a failure")
        return
    with folder() as place:
        root = pathlib.Path(place) / "root"
        for one in ["usr/local/bin", "etc/driftd", "proc", "baselines", "var/lib/driftd", "dev"]:
            (root / one).mkdir(parents=True)
        shutil.copy(DRIFTD, root / "usr/local/bin/driftd")
        for line in run(["ldd", DRIFTD]).splitlines():
            for path in re.findall(r"(/\S+)", line)[:1]:
                target = root / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        run([server("python", "python"), "-c",
             f"import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({{'x': list(range(5000))}}), '{root}/baselines/b.parquet')"])
        certificate, key = schemas.pair()
        for name, pem in [("tls.crt", certificate), ("tls.key", key)]:
            (root / "etc/driftd" / name).write_text(pem)
        # Not where the image's own command looks for it, and with a certificate of no authority and of another name.
        config = "/etc/driftd/elsewhere.yaml"
        (root / config.lstrip("/")).write_text(
            f"kafka: {{brokers: ['127.0.0.1:9']}}\ntopic: t\ndrift_config: {{reference_dataset: /baselines/b.parquet}}\n"
            f"http: {{public: '{ports(1)[0]}', admin: '127.0.0.1:0',"
            " public_tls: {cert_file: /etc/driftd/tls.crt, key_file: /etc/driftd/tls.key}}\n")
        driftd = "/usr/local/bin/driftd"
        script = pathlib.Path(place) / "inside.sh"
        # --userspec gives up root, and with it every capability.
        script.write_text(f"""
            mount --bind {root} {root} && mount -o remount,bind,ro {root}
            mount -t tmpfs -o mode=0700,uid=65532,gid=65532 state {root}/var/lib/driftd
            mount -t proc proc {root}/proc
            exec chroot --userspec=65532:65532 {root} {driftd} "$@"
        """)
        unshare = ["unshare", "--mount", "--pid", "--fork"]
        said = run([*unshare, "bash", "-e", script, "validate", "--offline", "-c", config])
        need("5000 rows" in said, said)
        # No broker answers: it gets as far as to say what it reads, and saves its state when told to end.
        command = [str(part) for part in [*unshare, "bash", "-e", script, "run", "-c", config]]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        said = ""
        try:
            for line in running.stdout:
                said += line
                if "reading topics" in line:
                    break
            child = run(["pgrep", "--parent", running.pid]).split()[0]
            inside = ["nsenter", f"--target={child}", "--mount", "--pid", "chroot", "--userspec=65532:65532", root]
            health = healthcheck()
            need(run([*inside, *health]) == "ok\n", f"{health} says that a sound daemon is not")
            os.killpg(running.pid, signal.SIGTERM)
            said += running.communicate(timeout=60)[0]
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
        need("reading topics" in said and "stopping: last snapshot" in said, said)
        for word in ["Read-only", "Permission denied", "panicked", "Operation not permitted"]:
            need(word not in said, said)


def check_files_compose():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    need(set(services) == {"kafka", "model", "driftd", "prometheus", "alertmanager", "grafana"}, f"services: {set(services)}")
    driftd = services["driftd"]
    need(driftd["read_only"] and driftd["cap_drop"] == ["ALL"], "driftd: read-only, no capabilities")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
            need(known, f"{name}: no {source}")
        for port in service.get("ports", []):
            need(port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network")
        need("image" in service and not service["image"].endswith(":latest"), f"{name}: an image with a version")


def check_files_compose_prometheus():
    with folder() as place:
        here = pathlib.Path(place)
        shutil.copytree(DEPLOY / "prometheus", here / "driftd")
        text = (DEPLOY / "compose/prometheus.yaml").read_text()
        (here / "prometheus.yaml").write_text(text.replace("/etc/prometheus/driftd", str(here / "driftd")))
        said = run([server("prometheus", "promtool"), "check", "config", here / "prometheus.yaml"])
        need(said.count("rules found") == 2, said)


def check_files_systemd_unit():
    analyze = shutil.which("systemd-analyze")
    unit = (DEPLOY / "systemd/driftd.service").read_text()
    if analyze is not None:
        with folder() as place:
            file = pathlib.Path(place) / "driftd.service"
            file.write_text(unit.replace("/usr/local/bin/driftd", DRIFTD))
            done = subprocess.run([analyze, "verify", "--man=no", file], capture_output=True, text=True)
            said = [line for line in (done.stdout + done.stderr).splitlines() if "driftd.service" in line]
            need(not said, "\n".join(said))
    need("RestartPreventExitStatus=78" in unit, "a bad configuration is not started again and again")
    # systemd looks at the code of the main process only, and a file that LoadCredential names has to be there.
    settings = [line for line in unit.splitlines() if not line.startswith("#")]
    for key in ["ExecStartPre", "LoadCredential"]:
        need(not any(line.startswith(key) for line in settings), f"{key}= would keep driftd from starting, or start it for ever")
    with folder() as place:
        file = pathlib.Path(place) / "driftd.yaml"
        file.write_text("kafka: {brokers: 1}\n")
        run([DRIFTD, "run", "-c", file], allow=(78,))


def check_files_shell_scripts():
    scripts = [ROOT / "tests/deploy.sh", SERVERS / "alertmanager.sh", SERVERS / "tools.sh"]
    run([tool("shellcheck"), "-x", "-P", SERVERS, *scripts])


def check_files_yaml():
    rules = "{extends: relaxed, rules: {line-length: disable, new-lines: {type: unix}, truthy: disable}}"
    files = [file for file in DEPLOY.rglob("*.yaml") if "templates" not in file.parts and "files" not in file.parts]
    need(len(files) > 25, f"only {len(files)} YAML files")
    run([tool("yamllint"), "--strict", "-d", rules, *files])


def check_files_documentation_names_what_is_there():
    page = (ROOT / "docs/deploy.md").read_text()
    for path in re.findall(r"\]\(\.\./(deploy/[^)#]*)\)", page):
        need((ROOT / path).exists(), f"docs/deploy.md: no {path}")
    for one in sorted(DEPLOY.iterdir()):
        need(f"deploy/{one.name}" in page or one.name == "Dockerfile.dockerignore", f"docs/deploy.md does not name deploy/{one.name}")
