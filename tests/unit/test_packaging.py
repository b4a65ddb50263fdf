from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ("sql", "migrations")


def checkout(folder: str) -> set[str]:
    files = (ROOT / folder).rglob("*")
    return {str(file.relative_to(ROOT)) for file in files if file.is_file() and file.suffix != ".pyc"}


def build(target: Path, *options: str) -> Path:
    """Build from the checkout with the hatchling of this environment, and return what was built last."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *options, str(ROOT)]
    subprocess.run(command, check=True)
    return max(target.iterdir(), key=lambda file: file.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def sdist_and_its_wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    target = tmp_path_factory.mktemp("sdist")
    wheel = build(target)
    [sdist] = target.glob("*.tar.gz")
    return sdist, wheel


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("folder", RESOURCES)
def test_the_wheel_carries(wheel: Path, folder: str) -> None:
    files = checkout(folder)
    assert files
    assert {name for name in names(wheel) if name.startswith(f"idemdb/{folder}/")} == {
        f"idemdb/{file}" for file in files
    }


def test_the_wheel_carries_the_input_of_the_demo(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("idemdb/demo/payments.jsonl")
    assert packed == (ROOT / "examples/pay_three_times/payments.jsonl").read_bytes()


def test_the_wheel_is_for_every_platform_and_typed(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "idemdb/py.typed" in names(wheel)
    assert {name.partition("/")[0].partition("-")[0] for name in names(wheel)} == {"idemdb"}


def test_the_sdist_carries_what_it_is_built_and_tested_from(sdist_and_its_wheel: tuple[Path, Path]) -> None:
    sdist, _ = sdist_and_its_wheel
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    wanted = checkout("sql") | checkout("migrations")
    assert wanted <= found
    assert {"hatch_build.py", "pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= found


def test_the_sdist_gives_the_same_wheel(wheel: Path, sdist_and_its_wheel: tuple[Path, Path]) -> None:
    assert names(sdist_and_its_wheel[1]) == names(wheel)


def test_an_installed_wheel_finds_its_resources(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # The dependencies are this environment's; its own path files (the editable install's) are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    program = (
        "import importlib.metadata as m; from idemdb import resources as r; "
        "print(r.SQL, r.MIGRATIONS, r.release_file(r.latest(), 'upgrade.sql').is_file(), sep='\\n'); "
        "[e.load() for e in m.distribution('idemdb').entry_points]"
    )
    run = subprocess.run([python, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.stderr == ""
    assert run.stdout.split() == [str(site / "idemdb" / "sql"), str(site / "idemdb" / "migrations"), "True"]


def test_the_editable_install_holds_no_copies() -> None:
    assert not (Path(sysconfig.get_path("purelib")) / "idemdb").exists()
