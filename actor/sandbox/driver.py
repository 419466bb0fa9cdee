# The interpreter of a Python context: requests are lines of JSON on file 3, answers on file 4; see sandbox_context.c.
import ast, asyncio, base64, inspect, io, json, linecache, os, signal, sys, traceback

os.set_inheritable(3, False)
os.set_inheritable(4, False)
requests, answers = os.fdopen(3, "r", encoding="utf-8"), os.fdopen(4, "w", encoding="utf-8")
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
names = {"__name__": "__main__", "__builtins__": __builtins__}
results, count = [], 0


def is_json(value, depth=0):
    if isinstance(value, dict):
        return depth < 16 and all(type(k) is str and k[:1] != "$" and is_json(v, depth + 1) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return depth < 16 and all(is_json(v, depth + 1) for v in value)
    if type(value) is int:
        return -2**63 <= value < 2**64
    return value is None or type(value) in (str, bool) or type(value) is float and value - value == 0


def shown(value):
    found = {"text/plain": repr(value)}
    for kind, method in (("text/html", "_repr_html_"), ("image/png", "_repr_png_")):
        made = getattr(type(value), method, None) and getattr(value, method)()
        if made is not None:
            found[kind] = base64.b64encode(made).decode() if isinstance(made, bytes) else made
    if isinstance(value, (dict, list)) and is_json(value):
        found["application/json"] = value
    return found


def display(*values):
    results.extend(shown(value) for value in values)


def figures():
    plt = sys.modules.get("matplotlib.pyplot")
    for number in plt.get_fignums() if plt else ():
        out = io.BytesIO()
        plt.figure(number).savefig(out, format="png")
        results.append({"text/plain": repr(plt.figure(number)), "image/png": base64.b64encode(out.getvalue()).decode()})
    if plt:
        plt.close("all")


def call(code):
    value = eval(code, names)
    return loop.run_until_complete(value) if code.co_flags & inspect.CO_COROUTINE else value


def run(text):
    global count
    count += 1
    name = f"<cell {count}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    tree, last = ast.parse(text, name), None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    call(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    value = call(compile(last, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)) if last else None
    figures()
    if value is not None:
        names["_"] = value
        display(value)


def told(e):
    at = e.__traceback__
    while at and not at.tb_frame.f_code.co_filename.startswith("<cell "):
        at = at.tb_next
    return {"name": type(e).__name__, "message": str(e), "traceback": "".join(traceback.format_exception(type(e), e, at))}


names["display"] = display
signal.signal(signal.SIGINT, signal.SIG_IGN)
answers.write('{"ready":true}\n')
answers.flush()
for line in requests:
    results, error = [], None
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(json.loads(line)["code"])
    except BaseException as e:
        error = told(e)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    answers.write(json.dumps({"results": results, "error": error}).encode("utf-8", "replace").decode() + "\n")
    answers.flush()
