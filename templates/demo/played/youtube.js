// Played iframe_api: `YT.Player` puts the player's frame in the place of an element.
(() => {
  if (window.YT && window.YT.loaded) return;
  class Player {
    constructor(target, options) {
      const place = typeof target === 'string' ? document.getElementById(target) : target;
      const origin = options.host && options.host.includes('nocookie') ? 'https://www.youtube-nocookie.com' : 'https://www.youtube.com';
      if (place.tagName === 'IFRAME') this.frame = place;
      else {
        this.frame = document.createElement('iframe');
        this.frame.id = place.id;
        this.frame.width = options.width || 640;
        this.frame.height = options.height || 360;
        this.frame.title = 'YouTube video player';
        this.frame.src = `${origin}/embed/${options.videoId}?enablejsapi=1`;
        place.replaceWith(this.frame);
      }
      const ready = options.events && options.events.onReady;
      if (ready) this.frame.addEventListener('load', () => ready({ target: this }));
    }
    playVideo() {}
    pauseVideo() {}
    getIframe() { return this.frame; }
  }
  window.YT = { loaded: 1, Player, PlayerState: { UNSTARTED: -1, ENDED: 0, PLAYING: 1, PAUSED: 2, BUFFERING: 3, CUED: 5 }, ready: (f) => f() };
  if (window.onYouTubeIframeAPIReady) window.onYouTubeIframeAPIReady();
})();
