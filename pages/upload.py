"""Upload: files come in, are inspected, and get the voxel size that they lack."""

from __future__ import annotations

import streamlit as st

from spinecore.ui.domain import light_warnings
from spinecore.ui.joining import draw_join
from spinecore.ui.moving import go_to
from spinecore.ui.serverfolder import draw_server_folder
from spinecore.ui.session import stacks_for_address, stacks_in_address, workspace
from spinecore.ui.stackcard import draw_card
from spinecore.ui.trash import draw_problem
from spinecore.ui.uploads import uploader

PER_PAGE = 3

st.title("Upload", anchor=False)
by_upload, by_folder = st.tabs(
    ["From this computer", "From a folder on the server"], on_change="rerun", key="way_in"
)
with by_upload:
    uploader(
        "Stacks or images, several at once: TIFF, OME-TIFF, ImageJ, LSM, ScanImage, CZI, LIF, ND2, OIB, IMS, PNG or JPEG",
        help="Files are copied into the workspace on the computer that runs this dashboard, and nowhere else. An OME-Zarr "
        "folder, or an OIF with its folder, comes as a ZIP.",
    )
if by_folder.open:
    with by_folder:
        draw_server_folder()

draw_problem()
chosen = stacks_in_address()
stacks = chosen + [record for record in workspace().stacks() if record not in chosen]
if not stacks:
    st.caption("Nothing here yet: drop a file above, or try the sample on the Start page.")
draw_join(chosen)
if len(chosen) > 1 and st.button(f"Analyse these {len(chosen)} stacks", type="primary", key="analyse_all"):
    go_to("pages/analyse.py", query_params={"stack": stacks_for_address(chosen)})
page = 1
if len(stacks) > PER_PAGE:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(f"{len(stacks)} stacks, newest first", width="content")
        # a key of its own for what was uploaded last, so that it is shown and not the page looked at before
        page = st.pagination(
            -(-len(stacks) // PER_PAGE), key=f"stack_page_{st.query_params.get('stack', '')}"
        )
for record in stacks[(page - 1) * PER_PAGE : page * PER_PAGE]:
    draw_card(record, light_warnings)
