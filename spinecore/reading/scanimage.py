"""How ScanImage interleaves the pages of a file: channels, frames of one slice, slices, volumes, flyback.

Rules, by version:

- Channels run fastest. Where a slice is recorded several times, its frames follow each other; frames recorded while
  the focus flies back come once, at the end of a volume.
- 3.x (``state.``): one slice after the other, each with its frames.
- 4.x (``scanimage.SI4.``): ``fastZEnable`` says whether volumes follow each other.
- 5 to 2018 (``SI.``): ``hFastZ.enable`` says so; ``hFastZ.numFramesPerVolume`` counts the flyback frames.
- 2019 and later: ``hStackManager.enable`` gates every stack, ``stackMode`` says fast or slow;
  ``numFramesPerVolume`` leaves the flyback frames out, ``numFramesPerVolumeWithFlyback`` counts them.
- ``logAverageFactor`` (5 and later) and ``acqNumAveragedFrames`` (4) frames were averaged into each page; all
  counts in the header are of frames before that.

``numSlices`` stays in the header when the stack manager is off, so it alone never makes a stack.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from spinecore.reading.header_values import Header


@dataclass(frozen=True)
class PageOrder:
    """Where each plane of a file is.

    Parameters
    ----------
    volumes : int
    pages_per_volume : int
        Of one channel, flyback frames included.
    slices : int
    repeats : int
        Frames of one slice, which follow each other.
    channels : int
    notes : tuple of str
        Sentences for people.
    """

    volumes: int
    pages_per_volume: int
    slices: int
    repeats: int
    channels: int
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> int:
        """Time points: volumes, or frames of one slice."""
        return self.volumes * self.repeats

    def page(self, time_point: int, channel: int, z: int) -> int:
        """Return the number of a page, from 0."""
        volume, repeat = divmod(time_point, self.repeats)
        return (volume * self.pages_per_volume + z * self.repeats + repeat) * self.channels + channel


@dataclass(frozen=True)
class _Plan:
    """What a header says, in saved pages: slices, frames of each, whether the stack is fast, flyback frames a volume, volumes (0: not said)."""

    slices: int
    repeats: int = 1
    fast: bool = False
    flyback: int = 0
    volumes: int = 0
    notes: tuple[str, ...] = ()


def page_order(header: Header, pages: int) -> PageOrder | None:
    """Return the order of the pages of a ScanImage file, or None where the header does not fit.

    Parameters
    ----------
    header : Header
        Of kind "scanimage3", "scanimage4" or "scanimage5".
    pages : int
        Pages in the file.
    """
    channels, plan = _READERS[header.kind](header, pages)
    frames, rest = divmod(pages, channels)
    if frames == 0:
        return None
    if plan.slices <= 1:
        order = PageOrder(frames, 1, 1, 1, channels, plan.notes)
    else:
        inside = plan.slices * plan.repeats
        repeated = frames > inside and plan.volumes != 1
        in_volumes = plan.fast or repeated or frames == inside
        order = (
            _volumes(plan, frames, channels)
            if in_volumes
            else slow_stack(plan.slices, plan.repeats, frames, channels)
        )
    if rest:
        note = f"The last frame was stopped after {rest} of {channels} channels and is left out."
        order = replace(order, notes=(*order.notes, note))
    return order


def _volumes(plan: _Plan, frames: int, channels: int) -> PageOrder:
    """Volumes one after the other; the last may have been stopped early."""
    inside = plan.slices * plan.repeats
    whole = inside + plan.flyback
    if frames < inside:
        note = f"The recording was stopped after {frames} of the {inside} frames of its first volume."
        slices, repeats = max(1, frames // plan.repeats), min(frames, plan.repeats)
        return PageOrder(1, slices * repeats, slices, repeats, channels, (note,))
    if frames % whole and frames == inside * (plan.volumes or 0):
        whole = inside  # the flyback frames were not saved
    volumes = max(1, frames // whole)
    notes = []
    if whole > inside:
        count = whole - inside
        what = "1 flyback frame" if count == 1 else f"{count} flyback frames"
        notes.append(f"The {what} at the end of each volume {'is' if count == 1 else 'are'} left out.")
    rest = frames - volumes * whole
    if rest > 0:
        notes.append(f"The last volume was stopped after {rest} of {whole} frames and is left out.")
    if plan.repeats > 1:
        notes.append(_repeats(plan.repeats))
    return PageOrder(volumes, whole, plan.slices, plan.repeats, channels, tuple(notes))


def slow_stack(slices: int, repeats: int, frames: int, channels: int) -> PageOrder:
    """Return the order of one slice after the other, each with all its frames.

    Parameters
    ----------
    slices, repeats : int
        What the header says; where the file holds fewer or more pages, they decide.
    frames : int
        Pages of one channel.
    channels : int
    """
    notes = []
    if frames % slices == 0:
        repeats = frames // slices
    else:
        repeats = min(max(1, repeats), frames)
        found = frames // repeats
        why = "the recording was probably stopped early" if found < slices else "the file decides"
        notes.append(f"The header speaks of {slices} slices but the file holds {found} per channel: {why}.")
        slices = found
    if repeats > 1:
        notes.append(_repeats(repeats))
    return PageOrder(1, slices * repeats, slices, repeats, channels, tuple(notes))


def _repeats(frames: int) -> str:
    return f"Each slice was recorded {frames} times; the frames of a slice are read as time points."


def _version3(header: Header, pages: int) -> tuple[int, _Plan]:
    slices, repeats = header.count("state.acq.numberOfZSlices"), header.count("state.acq.numberOfFrames")
    saved = sum(header.true(f"state.acq.savingChannel{k}") for k in range(1, 5))
    channels = int(header.number("state.acq.numberOfChannelsSave") or saved or 1)
    return max(1, channels), _Plan(slices, repeats, volumes=1)


def _version4(header: Header, pages: int) -> tuple[int, _Plan]:
    channels = max(1, len(header.numbers("SI4.channelsSave")))
    slices = header.count("SI4.stackNumSlices")
    if header.true("SI4.fastZEnable"):
        dropped = int(header.number("SI4.fastZNumDiscardFrames") or 0)
        return channels, _Plan(
            slices, fast=True, flyback=dropped, volumes=header.count("SI4.fastZNumVolumes")
        )
    frames = header.count("SI4.acqNumFrames")
    saved = max(1, frames // header.count("SI4.acqNumAveragedFrames"))
    if saved > 1 and pages == saved * channels:
        return channels, _Plan(
            1
        )  # the frames of one slice: the slice number is left over from an earlier stack
    return channels, _Plan(slices, saved, volumes=1)


def _version5(header: Header, pages: int) -> tuple[int, _Plan]:
    channels = max(1, len(header.numbers("SI.hChannels.channelSave")))
    averaged = header.count("SI.hScan2D.logAverageFactor")
    repeats = max(1, header.count("SI.hStackManager.framesPerSlice") // averaged)
    slices = _recorded_slices(header)
    mode = header.values.get("SI.hStackManager.stackMode", "").strip("'\" ").lower()
    gated = "SI.hStackManager.enable" in header.values
    manager, piezo = header.true("SI.hStackManager.enable"), header.true("SI.hFastZ.enable")
    slow = _Plan(slices, repeats, volumes=_asked_volumes(header))
    if piezo or (manager and mode == "fast"):
        return channels, slow if manager and mode == "slow" else _fast(
            header, slices, averaged, gated and not manager
        )
    if gated:
        return channels, slow if manager else _Plan(1)
    # versions without the switch: the slice number may be left over from an earlier stack, so it must fit exactly
    planes = max(1, len(header.numbers("SI.hStackManager.zs")))
    fits = slices * repeats * channels == pages or (planes == slices and pages % (slices * channels) == 0)
    return channels, slow if fits else _Plan(1)


def _recorded_slices(header: Header) -> int:
    """Return what was recorded where the header tells it, else what was asked for."""
    for key in ("actualNumSlices", "numSlices", "slicesPerAcq"):
        if header.number(f"SI.hStackManager.{key}") is not None:
            return header.count(f"SI.hStackManager.{key}")
    return 1


def _asked_volumes(header: Header) -> int:
    """Return how many volumes were to be recorded; 0 where the header does not say or has no end."""
    for key in ("hStackManager.actualNumVolumes", "hStackManager.numVolumes", "hFastZ.numVolumes"):
        if header.number(f"SI.{key}") is not None:
            return header.count(f"SI.{key}")
    return 0


def _fast(header: Header, slices: int, averaged: int, manager_off: bool) -> _Plan:
    """Return the volumes of a fast stack."""
    repeats = header.count("SI.hStackManager.framesPerSlice")
    dropped = int(header.number("SI.hFastZ.numDiscardFlybackFrames") or 0)
    inside = header.number("SI.hStackManager.numFramesPerVolume")
    whole = header.number("SI.hStackManager.numFramesPerVolumeWithFlyback")
    if whole is None and inside is None:
        whole = header.number("SI.hFastZ.numFramesPerVolume")  # counts the flyback frames
        if whole is None and manager_off:
            return _Plan(1)
        if whole is not None:
            inside = slices if 1 < slices <= whole else whole - dropped
    if inside is None:
        inside = slices if whole is None or 1 < slices <= whole else whole - dropped
    if whole is None:
        whole = inside + dropped
    count, cycle = max(1, int(inside)), max(1, int(whole))
    if averaged > 1:
        if cycle % averaged or count % averaged:
            note = (
                f"{averaged} frames were averaged into each page, across the ends of volumes of {cycle} frames, so the pages cannot "
                "be put into volumes and are read as time points."
            )
            return _Plan(1, notes=(note,)) if count > 1 else _Plan(1)
        count, cycle, repeats = count // averaged, cycle // averaged, max(1, repeats // averaged)
    if repeats == 1 or count % repeats or count // repeats != slices:
        repeats = 1
    return _Plan(
        count // repeats, repeats, fast=True, flyback=max(0, cycle - count), volumes=_asked_volumes(header)
    )


_READERS = {"scanimage3": _version3, "scanimage4": _version4, "scanimage5": _version5}
