"use strict";
// Films: they play while they are in sight, and those that stand side by side play together.
{
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const isLong = (video) => Number.isFinite(video.duration) ? video.duration : 0;

  for (const video of document.querySelectorAll("video")) {
    const isLed = video.closest(".sync") !== null;
    if (still) video.controls = !isLed;
    video.addEventListener("pointerenter", () => { video.controls = true; });
    video.addEventListener("pointerleave", () => { video.controls = still && !isLed; });
    video.tabIndex = 0;
    video.addEventListener("keydown", (event) => {
      const step = Number(video.closest("[data-frames-per-second]")?.dataset.framesPerSecond || 5);
      if (event.key === " " || event.key === "Enter") video.paused ? video.play() : video.pause();
      else if (event.key === "ArrowRight") { video.pause(); video.currentTime += 1 / step; }
      else if (event.key === "ArrowLeft") { video.pause(); video.currentTime -= 1 / step; }
      else return;
      event.preventDefault();
    });
  }

  // In a pair, whichever is played, paused or sought takes the other along; the longer one sets the pace, and the
  // other waits at its end until both begin again.
  for (const group of document.querySelectorAll(".sync")) {
    const videos = [...group.querySelectorAll("video")];
    const leader = () => videos.reduce((a, b) => (isLong(b) > isLong(a) ? b : a));
    const align = () => {
      const lead = leader();
      for (const video of videos) {
        if (video === lead) { video.loop = true; continue; }
        video.loop = false;
        const at = Math.min(lead.currentTime, isLong(video));
        if (Math.abs(video.currentTime - at) > 0.12) video.currentTime = at;
        if (!lead.paused && video.paused && at < isLong(video)) video.play().catch(() => {});
        if (lead.paused && !video.paused) video.pause();
      }
    };
    for (const video of videos) {
      video.addEventListener("timeupdate", () => { if (video === leader()) align(); });
      video.addEventListener("loadedmetadata", align);
      video.addEventListener("play", () => { if (video !== leader() && leader().paused) leader().play().catch(() => {}); else align(); });
      video.addEventListener("pause", () => {
        if (video === leader()) align();
        else if (!video.ended && video.currentTime < isLong(video) - 0.05 && !leader().paused && video.matches(":hover, :focus")) leader().pause();
      });
      video.addEventListener("seeking", () => {
        if (video === leader()) { align(); return; }
        if (video.matches(":hover, :focus") && Math.abs(leader().currentTime - video.currentTime) > 0.3) leader().currentTime = video.currentTime;
      });
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) { if (!target.paused) { target.pause(); target.dataset.waits = ""; } }
      else if (!still && !("seen" in target.dataset) || "waits" in target.dataset) {
        target.dataset.seen = "";
        delete target.dataset.waits;
        target.play().catch(() => {});
      }
    }
  });
  for (const video of document.querySelectorAll("video[data-autoplay]")) watcher.observe(video);
}
