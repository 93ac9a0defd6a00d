"""The documentation says what the program does: blocks are fresh, links lead somewhere, examples run."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from figment.cli._main import VERBS
from figment.core import errors, plugins
from figment.core.noise import noise
from figment.core.types import ImageSpec
from figment.data.build import BuildConfig, build
from figment.data.store import Store
from figment.testing import check_docstring, check_json, checks_of
from figment.train.trainer import Trainer
from tests.commands import QUICK, done
from tests.doubles import varied_batches

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _examples(page: Path) -> list[tuple[str, str, str]]:
    """(kind, name, code) of every plugin that a page writes."""
    return re.findall(r"<!-- plugin: (\w+)/(\w+) -->\n```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


EXAMPLES = _examples(DOCS / "add-a-family.md")
CONTRIBUTED = _examples(ROOT / "CONTRIBUTING.md")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _fences(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in found if language in languages]


def _prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def _headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate.py, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(digits: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the examples speak of, with datasets/digits in it."""
    shutil.copytree(digits.path, tmp_path / "datasets/digits", ignore=shutil.ignore_patterns("judges"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_generated_blocks_are_fresh(generator):
    assert [_name(page) for page in generator.stale()] == [], "run: python docs/generate.py"


def test_a_generated_block_without_an_end_is_refused(generator):
    with pytest.raises(SystemExit, match="a generated block has no"):
        generator.renewed(ROOT / "README.md", "<!-- file-map -->\n\n<!-- table: verbs -->\n<!-- end -->\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_with_its_help(verb):
    text = (DOCS / f"verbs/{verb}.md").read_text("utf-8")
    assert text.startswith(f"# figment {verb}\n")
    assert f"<!-- help: figment {verb} " in text
    assert {"## Answer", "## Exit codes"} <= set(re.findall("^## .*$", text, re.MULTILINE))


@pytest.mark.parametrize("kind", [kind for kind in plugins.FOLDERS if plugins.folder(kind).exists()])
def test_every_plugin_is_described(kind):
    for name in plugins.names(kind):
        if kind == "families":
            page = DOCS / f"families/{name}.md"
            assert page.exists(), f"write docs/families/{name}.md, as in docs/add-a-family.md"
            assert f"<!-- settings: families/{name} -->" in page.read_text("utf-8")
        else:
            assert name in _headings(DOCS / f"{kind}.md"), f"docs/{kind}.md has no '{name}': python docs/generate.py"


def test_every_error_is_described():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.__name__ for kind in kinds} <= set(_headings(DOCS / "errors.md"))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{_name(page)} links to {target}, which is not there"
        if anchor:
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _headings(found)]
            assert anchor in slugs, f"{_name(page)} links to {target}; there are {slugs}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_have_only_flags_that_exist(page, generator, pca):
    for command in re.findall(r"^(?:\$ )?(figment .*)$", "\n".join(_fences(page, "sh", "")), re.MULTILINE):
        words = command.replace("[", " ").replace("]", " ").split("#")[0].split()
        known = _flags(tuple(words[1:]), generator)
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert flag in known, f"{_name(page)}: '{command}' has {flag}; there are {sorted(known)}"


def _flags(words: tuple[str, ...], generator: ModuleType) -> set[str]:
    """All flags of the verb that a command's words begin with."""
    verb = words[0] if words else ""
    if verb not in VERBS:
        return {"--help", "--version"}
    names = verb in ("data", "plan", "train", "edit") and re.match("[a-z]", " ".join(words[1:]))
    two = [verb, words[1]] if names else [verb]
    two += [word for place, word in enumerate(words) if "--features" in words[max(0, place - 1) : place + 1]]
    text, code = generator.printed(" ".join(["figment", *two, "--help"]))
    assert code == 0, text
    flags = {"--json", "--help", *re.findall(r"--[a-z][\w.-]*", text)}
    if verb in ("sample", "edit"):
        files = [plugins.source_file("families", name) for name in plugins.names("families")]
        files.append(plugins.folder("samplers") / "__init__.py")  # of all families that denoise
        classes = [node for file in files if file for node in ast.parse(file.read_text("utf-8")).body]
        samplings = [node for node in classes if isinstance(node, ast.ClassDef) and node.name == "Sampling"]
        fields = [node.target for one in samplings for node in one.body if isinstance(node, ast.AnnAssign)]
        flags |= {f"--sampling.{field.id.replace('_', '-')}" for field in fields if isinstance(field, ast.Name)}
    return flags


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_compiles(page):
    for code in _fences(page, "python"):
        compile(code, _name(page), "exec")


@pytest.mark.parametrize("page", [DOCS / "quickstart.md", DOCS / "concepts.md"], ids=_name)
def test_python_examples_run(page, workplace):
    done("train", "flow", "--data", "datasets/digits", "--out", "runs/digits", "--steps", "2", *QUICK)
    _run_examples(page)


def _run_examples(page: Path) -> None:
    """Every example of a page that is marked to run, in one go, in the current folder."""
    codes = re.findall(r"<!-- runs -->\n```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert codes, f"{_name(page)} has no example marked with <!-- runs -->"
    exec(compile("\n".join(codes), _name(page), "exec"), {"__name__": "__main__"})


@pytest.fixture(params=EXAMPLES + CONTRIBUTED, ids=lambda example: f"{example[0]}/{example[1]}")
def example(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """(kind, name) of a plugin of docs/add-a-family.md or CONTRIBUTING.md, installed as somebody else's package."""
    yield from _install(*request.param, tmp_path, monkeypatch)


@pytest.fixture
def pca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The family of docs/add-a-family.md."""
    for kind, name in _install(*EXAMPLES[0], tmp_path, monkeypatch):
        yield plugins.load(kind, name)


def _install(
    kind: str, name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    site, package = folder / "site", f"more_figment_{name}"
    for file, text in {
        f"{package}/__init__.py": "",
        f"{package}/{name}.py": code,
        f"{package}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{package}-1.0.dist-info/entry_points.txt": f"[figment.{kind}]\n{name} = {package}.{name}\n",
    }.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    plugins.forget()
    yield kind, name
    for module in [module for module in sys.modules if module.startswith(package)]:
        del sys.modules[module]
    plugins.forget()


def test_there_is_an_example_of_every_kind_of_plugin():
    assert [kind for kind, _, _ in EXAMPLES] == ["families", "samplers", "metrics", "sources", "steps"]
    assert [(kind, name) for kind, name, _ in CONTRIBUTED] == [("families", "blur")]


def test_the_examples_keep_the_contract_of_their_kind(example, digits, tmp_path):
    kind, name = example
    (tmp_path / "digits").symlink_to(digits.path, target_is_directory=True)
    for check in checks_of(kind).values():
        check(f"{kind}/{name}" if check in (check_docstring, check_json) else name, tmp_path)


def test_the_example_family_learns_and_generates(pca):
    spec = ImageSpec(1, 4, 4)
    trainer = Trainer(pca.build(pca.Config(latents=4), spec), pca.TRAIN, steps=6)
    losses = [report.values["main/loss"] for report in trainer.run(varied_batches())]
    assert len(losses) == 6
    assert trainer.model.generate(noise(range(3), trainer.model)).shape == (3, 1, 4, 4)


def test_the_example_familys_python_runs(pca, workplace):
    _run_examples(DOCS / "add-a-family.md")
    assert (workplace / "pca.png").exists()


def test_the_example_source_and_step_make_a_dataset(tmp_path, monkeypatch):
    made = {(kind, name): code for kind, name, code in EXAMPLES}
    installs = [
        _install(kind, name, made[kind, name], tmp_path, monkeypatch)
        for kind, name in (("sources", "stripes"), ("steps", "flat"))
    ]
    for install in installs:
        next(install)
    try:
        config = BuildConfig(steps={"flat": {"deviation": 90.0}})
        store = build(["stripes:60"], tmp_path / "stripes", config)
        assert store.spec == ImageSpec(1, 16, 16, classes=("horizontal", "vertical"))
        assert 0 < sum(store.counts.values()) < 60
        assert {row.step for row in store.rejected()} == {"flat"}
    finally:
        for install in installs:
            next(install, None)
