"""A workerd that serves the scenarios: one service each, behind one port, at /w/{scenario}/…"""

import json
import os
import re
import subprocess

FOLDER = os.path.dirname(os.path.abspath(__file__))
COMPATIBILITY_DATE = "2026-11-01"
START_SECONDS = 60

ROUTER = """
export default {
  fetch(request, env) {
    const url = new URL(request.url);
    const [, , name, ...path] = url.pathname.split("/");
    url.pathname = "/" + path.join("/");
    return env[name].fetch(new Request(url, request));
  },
};
"""


def program():
    """The binary that npm has brought, or None."""
    packages = os.path.join(FOLDER, "node_modules", "@cloudflare")
    for name in sorted(os.listdir(packages)) if os.path.isdir(packages) else []:
        path = os.path.join(packages, name, "bin", "workerd")
        if name.startswith("workerd-") and os.access(path, os.X_OK):
            return path
    return None


def classes_of(source):
    """Names of the classes of objects that a module exports."""
    return re.findall(r"^export class (\w+)", source, re.MULTILINE)


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def _service(folder, name, modules, env):
    classes = classes_of(modules["main.js"])
    objects = ", ".join(f'(className = "{c}", uniqueKey = "{name}-{c}", enableSql = true)' for c in classes)
    bindings = [f'(name = "{c}", durableObjectNamespace = "{c}")' for c in classes]
    for key, value in env.items():
        _write(os.path.join(folder, "env", key), json.dumps(value))
        bindings.append(f'(name = "{key}", json = embed "env/{key}")')
    for module, source in modules.items():
        _write(os.path.join(folder, name, module), source)
    # The main module is the first one.
    esm = ", ".join(f'(name = "{m}", esModule = embed "{name}/{m}")' for m in sorted(modules, key="main.js".__ne__))
    return f"""(name = "{name}", worker = (
      modules = [{esm}], compatibilityDate = "{COMPATIBILITY_DATE}",
      bindings = [{", ".join(bindings)}],
      durableObjectNamespaces = [{objects}], durableObjectStorage = (localDisk = "storage"),
    ))"""


class Workerd:
    """Serves `scenarios`, {name: {module: source}}, with files below `folder`."""

    def __init__(self, folder, scenarios, env):
        os.makedirs(os.path.join(folder, "storage"))
        config = os.path.join(folder, "config.capnp")
        _write(os.path.join(folder, "router.js"), ROUTER)
        _write(config, self._config(folder, scenarios, env))
        self.stderr_path = os.path.join(folder, "stderr")
        control_read, control_write = os.pipe()
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                [program(), "serve", "--experimental", f"--control-fd={control_write}", config],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, pass_fds=[control_write])
        os.close(control_write)
        self.url = f"http://127.0.0.1:{self._port(control_read)}"

    def _config(self, folder, scenarios, env):
        services = [_service(folder, name, modules, env) for name, modules in scenarios.items()]
        separator = ",\n    "
        routes = ", ".join(f'(name = "{name}", service = "{name}")' for name in scenarios)
        storage = os.path.join(folder, "storage")
        return f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "storage", disk = (path = "{storage}", writable = true)),
    (name = "router", worker = (
      modules = [(name = "router.js", esModule = embed "router.js")], compatibilityDate = "{COMPATIBILITY_DATE}",
      bindings = [{routes}])),
    {separator.join(services)}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "router")],
);
"""

    def _port(self, control):
        """Of the line that says where it listens; its end where workerd ends before it."""
        with os.fdopen(control, encoding="utf-8") as lines:
            for line in lines:
                said = json.loads(line)
                if said.get("event") == "listen" and said.get("socket") == "http":
                    return said["port"]
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"workerd did not start:\n{self.stderr}")

    @property
    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def finish(self):
        self.process.kill()
        self.process.wait()
