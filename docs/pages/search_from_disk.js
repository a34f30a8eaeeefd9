// A page opened from the disk may start no worker: there the search runs in a hidden frame.
if (location.protocol === "file:") window.Worker = class extends EventTarget {
  constructor(address) {
    super();
    const frame = document.body.appendChild(document.createElement("iframe")), waiting = [];
    frame.hidden = true;
    const inner = frame.contentWindow, give = data => inner.dispatchEvent(new inner.MessageEvent("message", {data}));
    inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
    this.postMessage = data => waiting.push(data);
    const script = inner.document.createElement("script");
    script.src = address;
    script.onload = () => { this.postMessage = give; waiting.forEach(give); };
    inner.document.head.append(script);
  }
};
