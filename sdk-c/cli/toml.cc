#include "sdk-c/cli/toml.h"

#include <cstring>
#include <exception>
#include <sstream>
#include <string_view>

#include <toml++/toml.h>

static std::string describe(const toml::parse_error &e)
{
    std::ostringstream text;
    text << "line " << e.source().begin.line << ", column " << e.source().begin.column << ": "
         << e.description();
    return text.str();
}

extern "C" char *toml_to_json(const char *text, size_t bytes, char **ret_why)
{
    try {
        std::ostringstream json;
        json << toml::json_formatter{toml::parse(std::string_view(text, bytes))};
        return strdup(json.str().c_str());
    } catch (const toml::parse_error &e) {
        *ret_why = strdup(describe(e).c_str());
    } catch (const std::exception &e) {
        *ret_why = strdup(e.what());
    }
    return nullptr;
}
