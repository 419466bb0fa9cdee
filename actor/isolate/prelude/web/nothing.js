/* For whatwg-url: encodings other than UTF-8, which no URL of code has. */
export {};
