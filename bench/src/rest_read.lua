-- Each request reads a user chosen at random.
local users = { {users} }
local requests = {}

function init()
  math.randomseed(os.time())
  for number, user in ipairs(users) do
    requests[number] = wrk.format("GET", "/v1/users/" .. user)
  end
end

function request()
  return requests[math.random(#requests)]
end
