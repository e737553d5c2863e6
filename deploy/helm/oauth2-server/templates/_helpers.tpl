{{/* The release's name, if it has the chart's in it, as most do. */}}
{{- define "oauth2-server.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{/* Immutable in a Deployment: never anything that changes with a version. */}}
{{- define "oauth2-server.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oauth2-server.labels" -}}
{{ include "oauth2-server.selector" . }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Without version and chart: labels of Pods that change would restart them. */}}
{{- define "oauth2-server.podLabels" -}}
{{ include "oauth2-server.selector" . }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
{{- end }}

{{/* What a schema cannot judge, or would reject with a regular expression for a reason. */}}
{{- define "oauth2-server.check" -}}
{{- $a := .Values.autoscaling -}}
{{- $d := .Values.database -}}
{{- if not .Values.issuer -}}
{{- fail "issuer is required: the https URL that clients see, such as https://auth.example" -}}
{{- end -}}
{{- if not (regexMatch "^https://[^/?#@\\s]+(/[^?#\\s]*)?$" .Values.issuer) -}}
{{- fail (printf "issuer must be an https URL without user, query and fragment, and is %s" .Values.issuer) -}}
{{- end -}}
{{- if not $d.url -}}
{{- fail "database.url is required: postgres://USER@HOST:5432/NAME?sslmode=verify-full&sslrootcert=/run/secrets/oauth2-server/database_ca.pem" -}}
{{- end -}}
{{- if not (regexMatch "^postgres(ql)?://" $d.url) -}}
{{- fail "database.url must begin with postgres://: several Pods cannot share an SQLite file" -}}
{{- end -}}
{{- range $name, $url := dict "database" $d.url "redis" .Values.redis.url -}}
{{- if regexMatch "//[^/@]*:[^/@]*@" $url -}}
{{- fail (printf "%s.url must not contain a password: put it into the Secret as %s_password" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^($|rediss?(\\+sentinel|\\+cluster)?://)" .Values.redis.url) -}}
{{- fail "redis.url must begin with redis:// or rediss://, also with +sentinel or +cluster, or be empty" -}}
{{- end -}}
{{- if eq .Values.image.tag "latest" -}}
{{- fail "image.tag must be a release or a digest, not latest: Pods of one revision would run different servers" -}}
{{- end -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas is %d and must not exceed autoscaling.maxReplicas, which is %d" (int $a.minReplicas) (int $a.maxReplicas)) -}}
{{- end -}}
{{- /* During an update there is one new Pod more, and one that ends. Each Pod has its pool and one connection to listen on. */ -}}
{{- $needed := mul (add (int $a.maxReplicas) 2) (add (int $d.maxConnections) 1) -}}
{{- $available := sub (int $d.postgresMaxConnections) (int $d.postgresReservedConnections) -}}
{{- if gt $needed $available -}}
{{- fail (printf "autoscaling.maxReplicas %d with database.maxConnections %d can open %d connections, but Postgres has %d for them: lower one of the two, or raise max_connections of Postgres and database.postgresMaxConnections" (int $a.maxReplicas) (int $d.maxConnections) $needed $available) -}}
{{- end -}}
{{- range $name, $_ := .Values.config -}}
{{- if has $name (list "OAUTH2_ISSUER" "OAUTH2_SERVER_HOST" "OAUTH2_SERVER_PORT" "OAUTH2_SERVER_DRAIN_DELAY" "OAUTH2_MANAGEMENT_HOST" "OAUTH2_MANAGEMENT_PORT" "OAUTH2_DATABASE_URL" "OAUTH2_DATABASE_MAX_CONNECTIONS" "OAUTH2_REDIS_URL") -}}
{{- fail (printf "config.%s is set by the chart: use its own value" $name) -}}
{{- end -}}
{{- if and (hasPrefix "OAUTH2_" $name) (has $name (list "OAUTH2_ADMIN_TOKEN" "OAUTH2_KEY_ENCRYPTION_KEY" "OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS" "OAUTH2_JWT_SECRET" "OAUTH2_SESSION_KEY" "OAUTH2_REDIS_PASSWORD")) -}}
{{- fail (printf "config.%s is a secret: put it into the Secret and set %s_FILE" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "oauth2-server.hpaName" -}}
{{ include "oauth2-server.fullname" . | trimSuffix "-server" }}-hpa
{{- end }}

{{- define "oauth2-server.host" -}}
{{ (urlParse .Values.issuer).hostname }}
{{- end }}
