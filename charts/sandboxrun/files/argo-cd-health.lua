-- The health of a SandboxRun for Argo CD: docs/guide/argo-cd.md says where it goes.
-- Argo CD gives the object as `obj` and switches Lua's libraries off.
local waiting = { status = "Progressing", message = "The operator has not seen this run yet" }

local status = obj.status
if status == nil or status.conditions == nil then
  return waiting
end
-- The conditions are about an earlier form of the object.
if status.observedGeneration ~= obj.metadata.generation then
  return waiting
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(name, value)
  return conditions[name] ~= nil and conditions[name].status == value
end
local function health(state, name)
  local condition = conditions[name]
  local message = condition.reason or name
  if condition.message ~= nil and condition.message ~= "" then
    message = message .. ": " .. condition.message
  end
  return { status = state, message = message }
end

if is("Succeeded", "True") then
  return health("Healthy", "Succeeded")
end
if is("Succeeded", "False") then
  return health("Degraded", "Succeeded")
end
if is("Stalled", "True") then
  return health("Degraded", "Stalled")
end
if is("Suspended", "True") then
  return health("Suspended", "Suspended")
end
if conditions.Succeeded == nil then
  return waiting
end
return health("Progressing", "Succeeded")
