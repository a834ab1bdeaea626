-- Each thread has one connection and a user of its own; every request is a change.
local users = { {users} }
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("user", users[threads])
end

function init()
  math.randomseed(os.time())
  wrk.method = "PATCH"
  wrk.path = "/v1/users/" .. user
  wrk.headers["Content-Type"] = "application/merge-patch+json"
  wrk.headers["If-Match"] = "*"
end

function request()
  local quota = math.random(1000000000, 2000000000)
  return wrk.format(nil, nil, nil, '{"quota_bytes":' .. quota .. '}')
end
