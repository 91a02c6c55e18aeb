// The operators that libtorch has registered, and their schemas.

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "state.h"

namespace bridge {

namespace {

bool startsWith(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

// The name in JavaScript: camelCase, with leading underscores and the in-place underscore at the end kept.
std::string camelCase(const std::string& qualified) {
  const std::string name = qualified.substr(qualified.find("::") == std::string::npos ? 0 : qualified.find("::") + 2);
  if (startsWith(name, "__")) return name;
  std::string result;
  bool upper = false;
  for (size_t i = 0; i < name.size(); i++) {
    const bool inside = !result.empty() && result.find_first_not_of('_') != std::string::npos && i + 1 < name.size();
    if (name[i] == '_' && inside) {
      upper = true;
    } else {
      result += upper ? static_cast<char>(std::toupper(name[i])) : name[i];
      upper = false;
    }
  }
  return result;
}

}  // namespace

// (): [name, name in JavaScript, is a method of Tensor][] of the namespaces aten and pgpc, one entry a base name.
Napi::Value operatorNames(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto& dispatcher = c10::Dispatcher::singleton();
    std::unordered_map<std::string, bool> names;
    for (const auto& name : dispatcher.getAllOpNames()) {
      if (!startsWith(name.name, "aten::") && !startsWith(name.name, "pgpc::")) continue;
      const auto handle = dispatcher.findSchema(name);
      if (!handle) continue;
      const auto& arguments = handle->schema().arguments();
      const bool method = !arguments.empty() && arguments[0].name() == "self" &&
                          arguments[0].type()->kind() == c10::TypeKind::TensorType;
      names[name.name] = names[name.name] || method;
    }
    auto result = Napi::Array::New(info.Env(), names.size());
    uint32_t i = 0;
    for (const auto& [name, method] : names) {
      auto entry = Napi::Array::New(info.Env(), 3);
      entry.Set(0u, name);
      entry.Set(1u, camelCase(name));
      entry.Set(2u, Napi::Boolean::New(info.Env(), method));
      result.Set(i++, entry);
    }
    return result;
  });
}

// (name: 'aten::add'): the overloads with their schemas, each with the index by which `call` knows it.
Napi::Value lookup(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string wanted = info[0].As<Napi::String>().Utf8Value();
  return guarded(env, [&]() -> Napi::Value {
    static std::unordered_map<std::string, std::vector<c10::OperatorName>> overloads;
    static std::once_flag once;
    auto& dispatcher = c10::Dispatcher::singleton();
    std::call_once(once, [&] {
      for (const auto& name : dispatcher.getAllOpNames()) overloads[name.name].push_back(name);
    });
    auto result = Napi::Array::New(env);
    const auto found = overloads.find(wanted);
    if (found == overloads.end()) return result;
    std::vector<std::pair<c10::OperatorName, c10::OperatorHandle>> sorted;
    for (const auto& name : found->second) {
      if (const auto handle = dispatcher.findSchema(name)) sorted.emplace_back(name, *handle);
    }
    // The order in which overloads are tried: fewest required arguments first, tensors before scalars, `out` last.
    const auto rank = [](const auto& entry) {
      size_t required = 0;
      size_t scalars = 0;
      bool out = false;
      for (const auto& argument : entry.second.schema().arguments()) {
        required += argument.default_value() ? 0 : 1;
        scalars += argument.type()->kind() == c10::TypeKind::NumberType ? 1 : 0;
        out = out || argument.is_out();
      }
      return std::make_tuple(out, required, scalars, entry.second.schema().arguments().size(), entry.first.overload_name);
    };
    std::sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    for (const auto& [name, handle] : sorted) {
      const auto& schema = handle.schema();
      auto arguments = Napi::Array::New(env);
      for (const auto& argument : schema.arguments()) {
        auto entry = Napi::Object::New(env);
        entry.Set("name", camelCase(argument.name()));
        entry.Set("type", argument.real_type()->str());
        if (argument.N()) entry.Set("size", *argument.N());
        const auto& otherwise = argument.default_value();
        entry.Set("hasDefault", otherwise.has_value());
        entry.Set("mayBeEmpty", otherwise && otherwise->isIntList() && otherwise->toIntList().empty());
        entry.Set("keywordOnly", argument.kwarg_only());
        const auto* alias = argument.alias_info();
        entry.Set("written", alias != nullptr && alias->isWrite());
        arguments.Set(arguments.Length(), entry);
      }
      auto returned = Napi::Array::New(env);
      auto returns = Napi::Array::New(env);
      for (const auto& value : schema.returns()) {
        returns.Set(returns.Length(), value.real_type()->str());
        const auto* alias = value.alias_info();
        if (alias == nullptr || !alias->isWrite()) continue;
        for (size_t i = 0; i < schema.arguments().size(); i++) {
          const auto* written = schema.arguments()[i].alias_info();
          if (written != nullptr && written->beforeSets() == alias->beforeSets()) {
            returned.Set(returned.Length(), static_cast<double>(i));
            break;
          }
        }
      }
      const bool returnsArgument = !schema.returns().empty() && returned.Length() == schema.returns().size();
      auto entry = Napi::Object::New(env);
      entry.Set("index", static_cast<double>(state->operators.size()));
      entry.Set("overload", name.overload_name);
      entry.Set("schema", c10::toString(schema));
      entry.Set("arguments", arguments);
      entry.Set("returns", returns);
      if (returnsArgument) entry.Set("returnedArguments", returned);
      state->operators.push_back({handle, &schema, returnsArgument});
      result.Set(result.Length(), entry);
    }
    return result;
  });
}

}  // namespace bridge
