from __future__ import annotations

import subprocess
import sys

import pytest

from figment.core import plugins
from figment.core.errors import ConfigError


def test_the_folder_is_the_registry():
    assert {"classifier", "contrastive", "flow", "gan", "vae"} <= set(plugins.names("families"))
    assert not any(name.startswith("_") for kind in plugins.FOLDERS for name in plugins.names(kind))


def test_an_unknown_plugin_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no family 'flwo'; did you mean 'flow'\?"):
        plugins.load("families", "flwo")


def test_settings_are_read_with_their_help():
    settings = {one.name: one for one in plugins.settings("families", "vae")}
    assert settings["beta"].default == "1.0"
    assert "simpler" in settings["beta"].help


def test_literals_are_read_without_importing():
    assert plugins.constant("samplers", "heun", "EVALUATIONS_PER_STEP") == 2
    assert plugins.constant("samplers", "heun", "NOTHING", default=7) == 7


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list", "families"], ["train"], ["train", "--help"], ["data", "build", "--help"], ["nonsense"]],
)
def test_help_and_typos_never_import_torch(words):
    code = (
        "import sys; from figment.cli._main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(3 if 'torch' in sys.modules else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False).returncode == 0
