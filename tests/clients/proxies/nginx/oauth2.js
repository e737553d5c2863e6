// The access token must be active, for our audience, and have the scope `read`.
async function authorize(r) {
    const match = /^Bearer ([A-Za-z0-9._~+\/=-]+)$/i.exec(r.headersIn.Authorization || '');
    if (!match) {
        return r.return(401);
    }
    const reply = await r.subrequest('/_introspect', { method: 'POST', body: 'token=' + encodeURIComponent(match[1]) });
    if (reply.status !== 200) {
        return r.return(500); // the authorization server is not available: nginx answers 500, never the protected content
    }
    const claims = JSON.parse(reply.responseText);
    if (!claims.active || ![].concat(claims.aud).includes('https://api.example')) {
        return r.return(401);
    }
    if (!(claims.scope || '').split(' ').includes('read')) {
        return r.return(403);
    }
    r.headersOut['X-Client-Id'] = encodeURIComponent(claims.client_id);
    r.return(204);
}

export default { authorize };
