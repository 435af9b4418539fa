"""A sweep writes into a folder that is new, empty or its own, and follows no link inside it."""

import shutil
from pathlib import Path

import pytest

from robustbench_fl.core.places import PlaceError, inside
from robustbench_fl.store import StoreError
from robustbench_fl.store.ownership import SUBFOLDERS, is_ours, require_ours

ROOT = Path(__file__).resolve().parents[2]


def test_new_empty_and_own_folders_may_be_written(tmp_path, store):
    require_ours(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    require_ours(tmp_path / "empty")
    (tmp_path / "empty" / ".lock").write_text("")
    (tmp_path / "empty" / ".sweep.toml.x_1.tmp").write_text("half")
    require_ours(tmp_path / "empty")
    require_ours(store.folder)
    (store.folder / "plan.jsonl.gz").unlink()
    require_ours(store.folder)


@pytest.mark.parametrize("name", ["costs.csv", "sweep.toml", "figures/heatmap-of-mine.png", ".git/config"])
def test_a_folder_of_something_else_is_refused_by_its_content(tmp_path, name):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("name = 'mine'\n")
    first = name.split("/")[0]
    with pytest.raises(StoreError, match=rf"already exists, is not empty, and is not .* holds '{first}'"):
        require_ours(tmp_path / "mine")
    with pytest.raises(StoreError, match="Cannot read"):
        require_ours(path)


def test_every_committed_folder_is_a_sweeps():
    folders = [path.parent for path in (ROOT / "results").glob("*/cells.jsonl.gz")]
    folders.append(Path(__file__).with_name("release-0.1"))
    assert len(folders) > 1 or not (ROOT / "setup.cfg").is_file()
    assert all(map(is_ours, folders))


@pytest.mark.parametrize("name", SUBFOLDERS)
def test_a_link_in_place_of_any_subfolder_is_refused(store, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(store.folder / name, ignore_errors=True)
    (store.folder / name).symlink_to(outside)
    with pytest.raises(PlaceError, match="is a link"):
        require_ours(store.folder)
    with pytest.raises(PlaceError, match="is a link"):
        inside(store.folder, f"{name}/a.png")


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", "", "a//b", "a\nb", "a\x1b[1m", "x" * 300, "a\\b", "."]
)
def test_a_name_that_is_not_plain_makes_no_path(tmp_path, name):
    with pytest.raises(PlaceError, match="is no plain file name"):
        inside(tmp_path, name)
